"""What was fetched and waits for one lane, bounded in bytes. The only place where the fetch threads wait."""

import threading
from collections import deque
from collections.abc import Callable

from sources.queues.lease_life import Lease
from sources.queues.message_opener import ObjectBatch
from transforms.locks import Guard, guarded

_LOCKS = (
    Guard("_changed", ("_waiting",)),
    Guard("_changed", ("limit", "bytes", "leases"), read_freely=True),
)
"""`dealt` is the feed's, and under its lock."""

_WAKE_INTERVAL_SECONDS = 0.2
"""How long a waiting thread may miss that it should stop."""


@guarded(_LOCKS)
class BatchInbox:
    """Cuts of many leases in the order of arrival, each lease closed by an end mark (None).

    One cut alone may be larger than the bound. Thread-safe.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.leases = 0
        self.dealt = 0
        self._waiting: deque[tuple[Lease, ObjectBatch | None]] = deque()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def resize(self, limit: int) -> None:
        """Wait with another bound from now on."""
        with self._changed:
            self.limit = limit

    def put(self, lease: Lease, cut: ObjectBatch, stopped: Callable[[], bool]) -> bool:
        """Add a cut, waiting for room; False, and nothing added, when the lease or everything has ended."""
        size = cut.size
        with self._changed:
            while self._waiting and self.bytes + size > self.limit and not (lease.ended or stopped()):
                self._changed.wait(_WAKE_INTERVAL_SECONDS)
            if lease.ended or lease.lost or stopped():
                return False
            if not lease.begun:
                with lease.manager.lock:
                    lease.begin()
                self.leases += 1
            self._waiting.append((lease, cut))
            self.bytes += size
        return True

    def end(self, lease: Lease, back: int | None) -> bool:
        """Close a lease, with or without room; False when it had ended before.

        A lease of which nothing was put gets no end mark: see `Lease.begun`.
        """
        with self._changed:
            with lease.manager.lock:
                if not lease.end(back):
                    return False
            if lease.begun:
                self._waiting.append((lease, None))
            self._changed.notify_all()
        return True

    def take(self, limit: int) -> list[tuple[Lease, ObjectBatch | None]]:
        """Return what has waited longest, up to `limit` bytes but at least one cut; never waits."""
        taken: list[tuple[Lease, ObjectBatch | None]] = []
        total = 0
        with self._changed:
            if not self._waiting:
                return taken
            while self._waiting:
                lease, cut = self._waiting[0]
                size = cut.size if cut else 0
                if total and total + size > limit:
                    break
                taken.append((lease, cut))
                self._waiting.popleft()
                total += size
                self.leases -= cut is None
            self.bytes -= total
            self._changed.notify_all()
        return taken
