"""The fixed lanes of every service: partition keys are forever, targets and queues are spread over them."""

from zlib import crc32

LANES = 8
"""Part of the recovery format: bytewax refuses to resume a state whose key is no longer listed."""


def keys() -> list[str]:
    """Return the partition keys, `lane-0` first."""
    return [f"lane-{number}" for number in range(LANES)]


def lane_of(target: str) -> str:
    """Return the lane of a target's key, the same in every process and release."""
    return f"lane-{crc32(target.encode()) % LANES}"
