"""Watches a run: what arrives and when, and how much memory the collector takes."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.fakes.collector import Collector
from tests.fakes.process import Background

_SAMPLE_SECONDS = 0.1
_MEMORY_EVERY = 5


class Meter(Background):
    """Samples the number of lines that have arrived, and the collector's peak memory.

    size: tells how many lines have arrived. peak_bytes: the largest resident size of any life.
    """

    def __init__(self, size: Callable[[], int], collector: Collector) -> None:
        self._size, self._collector = size, collector
        self._seen: list[tuple[float, int]] = []
        self.peak_bytes = 0
        super().__init__()

    @property
    def longest_stall(self) -> float:
        """Return the longest time without an arrival between the first and the last one, in seconds."""
        moments = [moment for (_, before), (moment, after) in pairwise(self._seen) if after > before]
        return max((b - a for a, b in pairwise(moments)), default=0.0)

    def within(self, seconds: float) -> int:
        """Return how many lines arrived in the last so many seconds."""
        now, size = time.monotonic(), self._size()
        before = [count for moment, count in self._seen if moment <= now - seconds]
        return size - (before[-1] if before else 0)

    def _run(self) -> None:
        turn = 0
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._seen.append((time.monotonic(), self._size()))
            turn += 1
            if turn % _MEMORY_EVERY == 0:
                self.weigh()

    def weigh(self) -> None:
        """Take the collector's peak memory into account; best before it ends."""
        try:
            self.peak_bytes = max(self.peak_bytes, self._collector.peak_bytes())
        except (OSError, IndexError, ValueError):
            return  # no life at this moment


class Lines:
    """Counts the lines of files that only grow; each call reads what is new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            for path in self._folder.iterdir():
                offset, count = self._read.get(path, (0, 0))
                if path.stat().st_size > offset:
                    with path.open("rb") as file:
                        file.seek(offset)
                        data = file.read()
                    self._read[path] = (offset + len(data), count + data.count(b"\n"))
            return sum(count for _, count in self._read.values())
