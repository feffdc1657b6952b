"""The one partition class of the SQS family: messages are leases, deleted when their events are receipted.

Parallel unit: one message, dealt to one of eight fixed lanes; all lanes of a process share one `LeaseFeed`.
Guarantee: at least once. A message is deleted after the epoch that emitted its last event is receipted; a
crash leaves it in its queue, visible again after its lease. Resume: a half-emitted object goes on behind the
records that the last snapshot knows. Cost: per message a tenth of a receive and of a delete at full queues,
per object one GET; an idle queue costs twenty receives a minute.

    lease_feed.py threads  ── cuts ──▶  inbox of a lane  ──▶  next_batch  ──▶  snapshot  ──▶  next_batch
                                                        emitted          sealed         settled
"""

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from sources import lanes, metric_scopes, telemetry
from sources.queues.lease_feed import LeaseFeed, LeaseOptions
from sources.queues.lease_life import Ledger
from sources.queues.message_opener import MessageOpener, ObjectBatch, Resume
from sources.queues.object_progress import VERSION
from sources.queues.sqs import Message, MessageQueue, Queue
from transforms.block import Block, Flowing, Item
from transforms.locks import Guard, guarded

__all__ = ["LeaseOptions", "LeaseSource", "Message", "MessageOpener", "ObjectBatch", "Queue", "Resume"]

_SOON = timedelta(milliseconds=20)
_ORDERED = timedelta(milliseconds=4)
"""While a FIFO queue waits for what was emitted."""

_LAST_SETTLE_SECONDS = 15.0
"""How long a drained lane waits for deletions; what is left comes again and is recognised, or comes twice."""

_LOCKS = (Guard("_lock", ("_feed",)),)


@guarded(_LOCKS)
class LeaseSource(FixedPartitionedSource[Flowing, dict[str, Any]]):
    """Reads the queues of one service. Shared by all workers of a process.

    queues, opener: what it reads and how, for a preview.

    service: name for logs, metrics and origins. drain: set when the process shall end.
    """

    def __init__(
        self,
        service: str,
        queues: Sequence[Queue | MessageQueue],
        opener: MessageOpener,
        options: LeaseOptions,
        drain: threading.Event,
    ) -> None:
        self._service, self.queues, self.opener = service, queues, opener
        self._options, self._drain = options, drain
        self._feed: LeaseFeed | None = None
        self._lock = threading.RLock()

    def list_parts(self) -> list[str]:
        """Return the lanes, the same for ever."""
        return list(lanes.keys())

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_LeaseLane":
        """Build a lane; its first `next_batch` starts the service's threads."""
        state: Mapping[str, Any] = resume_state or {}
        if state and state.get("v") != VERSION:
            telemetry.state_unknown(self._service, f"{step_id} {for_part}", state.get("v"))
            state = {}
        with self._lock:
            if self._feed is None or self._feed.stopped:
                self._feed = LeaseFeed(self._service, self.queues, self.opener, self._options, self._drain)
            return _LeaseLane(for_part, self._feed, state)


class _LeaseLane(StatefulSourcePartition[Flowing, dict[str, Any]]):
    """Emits what was fetched for it and keeps the ledger of its leases."""

    def __init__(self, name: str, feed: LeaseFeed, state: Mapping[str, Any]) -> None:
        self._name, self._feed = name, feed
        self._ledger = Ledger()
        self._inbox = feed.join(name, state)
        self._pause: timedelta | None = _SOON
        self._idle = timedelta(seconds=feed.options.idle_seconds)
        self._over_at = 0.0
        # A dataflow that dies drops its partitions without a word: then nothing may hold their leases.
        self._leave = weakref.finalize(self, feed.leave, name)
        self._leave.atexit = False

    def next_batch(self) -> list[Flowing]:
        """Settle what being called proves delivered, return what has arrived; never waits.

        While draining, empty until all that was emitted is settled; then the end.
        """
        self._feed.start()  # bytewax has built all lanes of the process when it calls the first one
        self._feed.check()
        now = time.monotonic()
        if delivered := self._ledger.confirm(now):
            self._feed.settle(delivered)
        emptied = self._feed.drain.is_set() and self._feed.emptied()
        items: list[Flowing] = [*self._emit()]
        if self._feed.options.early_receipts and (request := self._ledger.ask(now)):
            items.append(request)
        if items:
            self._pause = None
            return items
        self._pause = self._longer() if self._pause else _SOON
        if emptied and self._is_settled():
            raise StopIteration
        return items

    def next_awake(self) -> datetime | None:
        """Return a moment soon: a lane that sleeps long holds every epoch of the process open."""
        return lanes.awake_after(self._pause) if self._pause else None

    def snapshot(self) -> dict[str, Any]:
        """Seal what was emitted; return how far each unfinished object of this lane has come."""
        self._ledger.seal()
        return self._feed.progress.state(self._name)

    def close(self) -> None:
        """Let the threads end when this was the last lane; acknowledges nothing."""
        self._leave()

    def _longer(self) -> timedelta:
        if self._ledger.ordered:
            return _ORDERED
        return min(max(self._pause or _SOON, _SOON) * 2, self._idle)

    def _emit(self) -> list[Item]:
        items: list[Item] = []
        cuts: list[ObjectBatch] = []
        lots: list[tuple[str, Sequence[Item]]] = []
        again = 0
        for lease, cut in self._inbox.take(self._feed.options.batch_bytes):
            if cut is None:
                self._ledger.emitted(lease)
            elif not lease.lost:
                items += cut.items
                blocks = [item for item in cut.items if isinstance(item, Block)]
                count = sum(block.count for block in blocks)
                lease.events += count
                again += count if lease.message.receives > 1 else 0
                lease.poisons += len(cut.items) - len(blocks)
                if cut.row:
                    lease.rows.append(cut.row)
                lots.append((lease.message.region, cut.items))
                if cut.object_id:
                    cuts.append(cut)
        if cuts:
            self._feed.progress.emitted(self._name, cuts)
        metric_scopes.events_again(self._feed.service, again)
        metric_scopes.emitted(self._feed.service, self._feed.options.owner, lots)
        return items

    def _is_settled(self) -> bool:
        """Tell that nothing waits or awaits its receipt, and that deletions are done or overdue."""
        if len(self._inbox) or len(self._ledger):
            return False
        self._over_at = self._over_at or time.monotonic()
        return self._feed.settled() or time.monotonic() - self._over_at > _LAST_SETTLE_SECONDS
