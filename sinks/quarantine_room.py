"""How much a quarantine folder holds, and when it takes no more: whoever writes logs can fill it.

When it is full, what a message stands for and cannot be read stays in its queue (`Rules.full`), and of broken
events whose object is in S3 a pointer is kept instead of their bytes. Prefixes in S3 have no bound here.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from sinks import telemetry
from transforms.block import Poison
from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_held", "_looked_at", "_told"), read_freely=True),)

MOST_OF_AN_OBJECT = 1000
"""Broken events of one object in S3 that are kept with their bytes; for the rest one pointer stands."""

_BLOCK = 4096
_LOOK_AGAIN_SECONDS = 60.0
_OBJECTS = 10_000


@guarded(_LOCKS)
class QuarantineRoom:
    """Counts what a folder takes on disk. Thread-safe. limit: bytes, 0 = without a bound."""

    def __init__(
        self, target: str | Path, limit: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target, self._clock = str(target), clock
        self._limit = 0 if self._target.startswith("s3://") else limit
        self._lock = threading.RLock()
        self._held: int | None = None
        self._looked_at = 0.0
        self._told = False
        self._events: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def full(self) -> bool:
        """Tell whether nothing more should be kept; while it is so, the folder is looked at once a minute."""
        if not self._limit:
            return False
        with self._lock:
            now = self._clock()
            if self._held is None or (
                self._held >= self._limit and now - self._looked_at >= _LOOK_AGAIN_SECONDS
            ):
                self._held, self._looked_at = _on_disk(Path(self._target)), now
            is_full = self._held >= self._limit
            if is_full and not self._told:
                telemetry.quarantine_full(self._target, self._held, self._limit)
            self._told = is_full
        telemetry.quarantine_room(self._held, self._limit)
        return is_full

    def took(self, size: int) -> None:
        """Note that a file was written."""
        with self._lock:
            if self._held is not None:
                self._held += (size + _BLOCK - 1) // _BLOCK * _BLOCK

    def fitted(self, poison: Poison) -> Poison | None:
        """Return what is kept of an item: all of it, a pointer, or None where a pointer is kept already."""
        name = poison.origin.object
        if not poison.body or not name.startswith("s3://"):
            return poison
        seen, first = self._events.pop(name, (0, poison.origin.record))
        first = min(first, poison.origin.record)  # events of an object may come out of order, seldom
        over = seen >= MOST_OF_AN_OBJECT or self.full()
        self._events[name] = (max(seen, MOST_OF_AN_OBJECT if over else 0) + 1, first)
        if len(self._events) > _OBJECTS:
            self._events.popitem(last=False)
        if not over:
            return poison
        origin = replace(poison.origin, record=first)
        detail = f"{poison.detail}; so may be more of this object, whose bytes stay in S3"
        return None if seen > MOST_OF_AN_OBJECT else replace(poison, body=b"", detail=detail, origin=origin)


def _on_disk(folder: Path) -> int:
    """Return the bytes that a folder's files take on disk."""
    try:
        return sum(one.stat().st_blocks * 512 for one in folder.glob("*/*") if not one.is_symlink())
    except OSError:
        return 0  # whatever it is, the next file to be kept meets it and tells it
