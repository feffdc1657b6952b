"""Keeps the leases on one queue alive, and ends them: extends, deletes, gives back, in lots of ten.

A heartbeat extends each lease at half its time, whatever the dataflow does meanwhile; a lease that SQS no
longer knows, or that reaches twelve hours, is lost. What has to be deleted or given back is handed over and
done by other threads, which start when there is work for them; what fails is tried again while the lease
lives.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from sources import metric_scopes, telemetry
from sources.errors import ReceiptHandleInvalid, SourceError, Transient
from sources.queues.lease_life import Lease
from sources.queues.sqs import CEILING_SECONDS, LOT, MessageQueue, lots
from transforms.locks import Guard, guarded

_LOCKS = (
    Guard("lock", ("_held", "_leaving", "_settlers", "_busy")),
    Guard("lock", ("_open", "_stopped", "_spawn"), read_freely=True),
)
"""Beside these: the leases' own fields, see `lease_life.py`."""

SETTLERS = 4
"""Threads that delete and give back, per queue, at most: as many as receive, since each lot is both."""

_MAX_PENDING_DELETES = 10_000
"""Leases that may wait for their deletion. A queue lets go of 120,000 messages at most, then gives none."""

_ATTEMPTS = 6
_LINGER_SECONDS = 0.05

Spawn = Callable[[str, Callable[[], None]], None]
"""Runs a job in a thread of that name."""


@guarded(_LOCKS)
class LeaseManager:
    """All leases on one queue that this process holds.

    visibility_seconds: what a lease is extended to. settled: called for each lease that was deleted.
    owner: whom figures are counted for. read_at: when the queue was last asked with success, epoch seconds.
    lock: held by whoever takes a step of one of its leases.
    """

    def __init__(
        self,
        service: str,
        queue: MessageQueue,
        visibility_seconds: int,
        settled: Callable[[Lease], None],
        owner: metric_scopes.ScopeOwner = metric_scopes.NOBODY,
    ) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self.place = metric_scopes.place(service, owner, queue.queue.region)
        self.read_at = 0.0
        self._service, self.queue, self._visibility = service, queue, visibility_seconds
        self._settled = settled
        self._spawn: Spawn = lambda _name, _job: None
        self._held: dict[Lease, None] = {}
        self._leaving: deque[Lease] = deque()
        self._open = 0
        self._stopped = False
        self._settlers = self._busy = 0
        self.lock = threading.RLock()
        self._changed, self._handed = threading.Condition(self.lock), threading.Condition(self.lock)

    @property
    def idle(self) -> bool:
        """Tell that nothing handed over is still to be deleted or given back."""
        return self._open == 0

    @property
    def behind(self) -> bool:
        """Tell that messages come faster than they are deleted: it is no time to receive more."""
        return self._open > _MAX_PENDING_DELETES

    @property
    def held(self) -> int:
        """Return how many leases are alive here."""
        with self.lock:
            return len(self._held)

    def start(self, spawn: Spawn) -> None:
        """Start the heartbeat, and settlers from now on; they end after `stop`."""
        with self._changed:
            self._spawn, self._settlers = spawn, 0
        spawn(f"{self.queue.queue.short}-keep", self._keep_alive)
        self.settle(())

    def hold(self, leases: Iterable[Lease]) -> None:
        """Begin to keep leases alive."""
        with self._changed:
            self._held.update(dict.fromkeys(leases))

    def settle(self, leases: Sequence[Lease]) -> None:
        """Take confirmed leases over: each is deleted or given back, as its `back` says; lost ones stay."""
        with self.lock:
            live = [lease for lease in leases if lease in self._held]
            self._leaving.extend(live)
            self._open += len(live)
            before = self._settlers
            wanted = min(self._busy + -(-len(self._leaving) // LOT), SETTLERS)
            self._settlers = max(before, wanted)
            self._handed.notify(wanted)
        for number in range(before, wanted):
            self._spawn(f"{self.queue.queue.short}-settle-{number}", self._settle)

    def stop(self) -> None:
        """End the threads; leases that are left become visible again by themselves."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._handed.notify_all()

    # the heartbeat

    def _keep_alive(self) -> None:
        interval = min(max(self._visibility / 10, 0.1), 5.0)
        while not self._pause(interval):
            self.extend_due(self.clock())
            self._show()

    def _show(self) -> None:
        """Show what is in hand, and how old the oldest of it is."""
        with self._changed:
            sent = [lease.message.sent_ms / 1000 for lease in self._held]
        metric_scopes.held(self.place, len(sent))
        if oldest := min(sent, default=self.read_at):
            metric_scopes.read_up_to(self.place, oldest)

    def extend_due(self, now: float) -> None:
        """Extend what has half its time or less left; called by the heartbeat."""
        with self._changed:
            half = now + self._visibility / 2
            due = [lease for lease in self._held if lease.expires <= half and lease.kept]
        for lot in lots(due):
            left = [min(self._visibility, int(lease.received + CEILING_SECONDS - now)) for lease in lot]
            over = [lease for lease, seconds in zip(lot, left, strict=True) if seconds < 1]
            self._lose(over, "twelve hours are over")
            live = [(lease, seconds) for lease, seconds in zip(lot, left, strict=True) if seconds >= 1]
            if live:
                self._extend([lease for lease, _ in live], [seconds for _, seconds in live])

    def _extend(self, lot: Sequence[Lease], seconds: Sequence[int]) -> None:
        asked = self.clock()
        try:
            outcomes = self.queue.change([lease.message.receipt_handle for lease in lot], seconds)
        except SourceError as error:
            telemetry.extend_failed(self._service, self.queue.queue.short, error)
            return
        with self.lock:
            for lease, left, failure in zip(lot, seconds, outcomes, strict=True):
                if failure is None and lease.kept:
                    lease.extend(asked + left)
        refused = [failure for failure in outcomes if failure and not isinstance(failure, Transient)]
        if refused:
            self._lose(
                [lease for lease, one in zip(lot, outcomes, strict=True) if one in refused], str(refused[0])
            )
        telemetry.lease_extended(self._service, outcomes.count(None))

    def _lose(self, leases: Sequence[Lease], why: str) -> None:
        """Forget leases that are over, but for those whose end is under way: that will tell."""
        with self._changed:
            lost = [lease for lease in leases if lease.held]
            for lease in lost:
                self._held.pop(lease, None)
                lease.lose()
        if lost:
            telemetry.leases_lost(self._service, self.queue.queue.short, len(lost), why)

    # the end of leases

    def _settle(self) -> None:
        while lot := self._next_lot():
            self._finish(lot)

    def _next_lot(self) -> list[Lease]:
        """Wait for leases of one kind, a little longer for a full lot; empty when it is time to stop."""
        lot: list[Lease] = []
        with self._changed:
            while not lot and not (self._stopped and not self._leaving):
                if not self._leaving:
                    self._handed.wait()
                elif len(self._leaving) < LOT and not self._stopped:
                    self._handed.wait(_LINGER_SECONDS)
                self._fill(lot)
            self._busy += bool(lot)
            if self._leaving:
                self._handed.notify()
        return lot

    def _fill(self, lot: list[Lease]) -> None:
        """Take what waits and is of one kind; what was lost meanwhile is forgotten."""
        while self._leaving and len(lot) < LOT and _same_kind(lot, self._leaving[0]):
            lease = self._leaving.popleft()
            if lease.lost:
                self._open -= 1
            else:
                lease.leave()
                lot.append(lease)

    def _finish(self, lot: list[Lease]) -> None:
        """Delete a lot or give it back; what fails in passing comes again to the end of the line."""
        done: list[Lease] = []
        again: list[Lease] = []
        given_up: list[SourceError] = []
        outcomes = self._outcomes(lot)
        with self.lock:
            for lease, error in zip(lot, outcomes, strict=True):
                if error is None:
                    lease.leave_done()
                    done.append(lease)
                elif self._worth_another(lease, error):
                    lease.stay()
                    again.append(lease)
                else:
                    lease.refuse()
                    given_up.append(error)
                if not lease.held:
                    self._held.pop(lease, None)
        deleted = lot[0].back is None
        for lease in done if deleted else ():
            self._settled(lease)
        if given_up:
            telemetry.settle_failed(self._service, self.queue.queue.short, len(given_up), given_up[0])
        telemetry.leases_ended(self._service, len(done), deleted=deleted)
        if again:
            self._pause(min(0.2 * 2.0 ** max(lease.failures for lease in again), 10))
        with self.lock:
            self._busy -= 1
            self._open -= len(lot) - len(again)
            self._leaving.extend(again)

    def _worth_another(self, lease: Lease, error: SourceError) -> bool:
        last = lease.failures + 1 >= _ATTEMPTS
        return not (self._stopped or isinstance(error, ReceiptHandleInvalid) or last)

    def _outcomes(self, lot: Sequence[Lease]) -> Sequence[SourceError | None]:
        handles = [lease.message.receipt_handle for lease in lot]
        try:
            if lot[0].back is None:
                return self.queue.delete(handles)
            return self.queue.change(handles, [lease.back or 0 for lease in lot])
        except SourceError as error:
            return [error] * len(lot)

    def _pause(self, seconds: float) -> bool:
        """Wait; True when it is time to stop."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped, seconds)


def _same_kind(lot: Sequence[Lease], lease: Lease) -> bool:
    return not lot or (lot[0].back is None) == (lease.back is None)
