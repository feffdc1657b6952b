"""Whether the dataflow's thread ever waits for AWS.

Two witnesses. The first knows no time: a profile hook sees each call into C and each wait that this thread
makes while it is in a partition's callback; a socket, a sleep or a wait for another thread is a finding, on
any machine. It cannot see how long a lock is held by somebody who waits for AWS, so the second one measures:
no callback may take longer than 50 ms. What the machine took of that is no fault of ours: the time that this
thread was ready and did not run, as the kernel tells it, and the time that a thread which does nothing but
wake up beside it (`Metronome`) was late as well. What is left is held against the noise: on a machine where
the metronome is never 50 ms late, nothing may be.
"""

import fcntl
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from flows.catalogue.service import Source
from tests.fakes.process import Background

ALLOWED_SECONDS = 0.05

_WAITS = {
    wait.__code__: name
    for name, wait in {
        "Condition.wait": threading.Condition.wait,
        "Event.wait": threading.Event.wait,
        "Thread.join": threading.Thread.join,
        "Semaphore.acquire": threading.Semaphore.acquire,
        "Barrier.wait": threading.Barrier.wait,
    }.items()
}
_STARTS = threading.Thread.start.__code__
"""A new thread is waited for until it runs: that is the machine, not AWS."""

_BLOCKING = (time.sleep, select.select, fcntl.flock, socket.getaddrinfo)


@dataclass(frozen=True, slots=True)
class Slow:
    """A callback that took too long. began, ended: `time.perf_counter`. number: of the row's callbacks.

    unready: seconds of it that the thread was ready to run and did not.
    """

    what: str
    began: float
    ended: float
    unready: float = 0.0
    number: int = 0


@dataclass
class Watch:
    """What is seen of one row's callbacks. waits: findings of the first witness."""

    calls: int = 0
    longest: float = 0.0
    slow: list[Slow] = field(default_factory=list)
    waits: set[str] = field(default_factory=set)

    def over(self, source: Source) -> "Watched":
        """Return the source, watched."""
        return Watched(source, self)

    def call(self, what: str, callback: Callable[[], Any]) -> Any:
        """Make a callback and watch it."""
        unready, began = _unready(), time.perf_counter()
        sys.setprofile(self._see)
        try:
            return callback()
        finally:
            sys.setprofile(None)
            ended = time.perf_counter()
            self.calls += 1
            self.longest = max(self.longest, ended - began)
            if ended - began > ALLOWED_SECONDS:
                self.slow.append(Slow(what, began, ended, _unready() - unready, self.calls))

    def _see(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code in _WAITS:
            if not _under(frame, _STARTS):
                self.waits.add(_WAITS[frame.f_code])
        elif event == "c_call" and (arg in _BLOCKING or isinstance(_owner(arg), _SOCKETS)):
            self.waits.add(getattr(arg, "__qualname__", str(arg)))


def _unready() -> float:
    """Return for how many seconds this thread was ready and did not run, so far; 0 where it is not told."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


_SOCKETS = (socket.socket, socket.SocketIO, select.epoll)


def _owner(function: Any) -> Any:
    return getattr(function, "__self__", None)


def _under(frame: FrameType | None, code: Any) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


@dataclass
class Watched:
    """A source whose partitions are watched."""

    source: Source
    watch: Watch

    def list_parts(self) -> list[str]:
        return self.source.list_parts()

    def build_part(self, step: str, key: str, state: Any) -> "WatchedPart":
        return WatchedPart(self.source.build_part(step, key, state), self.watch)


@dataclass
class WatchedPart:
    """A partition of which each callback is watched."""

    part: Any
    watch: Watch

    def next_batch(self) -> Any:
        found = self.watch.call("next_batch", self.part.next_batch)
        self.watch.call("next_awake", self.part.next_awake)
        return found

    def snapshot(self) -> Any:
        return self.watch.call("snapshot", self.part.snapshot)

    def close(self) -> None:
        self.part.close()


class Metronome(Background):
    """A thread that wakes up every few milliseconds. late: when it was late by as much again, or longer."""

    def __init__(self, every: float = 0.005) -> None:
        self._every = every
        super().__init__()
        self.late: list[tuple[float, float]] = []

    def _run(self) -> None:
        while not self._ended.is_set():
            due = time.perf_counter() + self._every
            time.sleep(self._every)
            now = time.perf_counter()
            if now - due > self._every:
                self.late.append((due, now))

    @property
    def noise(self) -> int:
        """Return how often it was late by more than a callback may take."""
        return sum(end - begin > ALLOWED_SECONDS for begin, end in self.late)

    def left(self, slow: Slow) -> float:
        """Return the seconds of a callback that the machine does not explain."""
        late = sum(max(0.0, min(end, slow.ended) - max(begin, slow.began)) for begin, end in self.late)
        return slow.ended - slow.began - late - slow.unready

    def unexplained(self, watch: Watch) -> list[Slow]:
        """Return the callbacks that took too long even so."""
        return [one for one in watch.slow if self.left(one) > ALLOWED_SECONDS]


def report(watches: Mapping[str, Watch], metronome: Metronome) -> list[str]:
    """Return a line of figures per row."""
    lines = [
        f"{name:<24} {one.calls:6} callbacks, longest {one.longest * 1000:6.1f} ms, "
        f"over 50 ms: {len(one.slow)}, of these not explained by the machine: "
        f"{len(metronome.unexplained(one))}"
        for name, one in watches.items()
    ]
    return [*lines, f"{'metronome':<24} late by over 50 ms: {metronome.noise} times"]
