"""The fixed lanes of every service: partition keys are forever, targets are spread over them.

And how often idle ones are asked, and threads disturbed: the more services share a process, the more rarely.
"""

from datetime import UTC, datetime, timedelta
from zlib import crc32

LANES = 8
"""Part of the recovery format: bytewax refuses to resume a state whose key is no longer listed."""

_CALLS_PER_SECOND = 2_000
_LONGEST_SECONDS = 2.0


def idle_seconds(services: int, least: float) -> float:
    """Return how long a lane without events may sleep, in a process of so many services.

    bytewax has to ask each lane whether there is something; asking thousands of them takes a core.
    """
    return min(max(least, services * LANES / _CALLS_PER_SECOND), _LONGEST_SECONDS)


def poll_seconds(services: int) -> int:
    """Return how long a queue is asked at most, in a process of so many services: a call costs a millisecond.

    Short, because a process that ends waits for it.
    """
    return min(max(3, services // 30), 10)


def switch_seconds(services: int) -> float:
    """Return how long a thread may keep Python's lock while others want it, in a process of so many services.

    Whoever waits wakes this often to ask for it: a thousand threads, every 5 ms as Python has it, take two
    cores to do next to nothing, and never find out of it.
    """
    return max(0.005, services / 10_000)


def awake_after(pause: timedelta) -> datetime:
    """Return a moment within `pause` at which all lanes with this pause wake.

    One by one they would have bytewax run through the whole dataflow for each of them.
    """
    seconds = pause.total_seconds()
    now = datetime.now(UTC).timestamp()
    return datetime.fromtimestamp((now // seconds + 1) * seconds, UTC)


def keys() -> list[str]:
    """Return the partition keys, `lane-0` first."""
    return [f"lane-{number}" for number in range(LANES)]


def lane_of(target: str) -> str:
    """Return the lane of a target's key, the same in every process and release."""
    return f"lane-{crc32(target.encode()) % LANES}"
