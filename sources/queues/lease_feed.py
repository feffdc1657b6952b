"""The threads of the lease family: one set per service and process, shared by all its lanes.

    receivers ──▶ leases that wait ──▶ fetchers ──▶ inboxes of the lanes ──▶ lease.py ──▶ settlers
    1 to 4 per    as many as there     open what    bounded in bytes                      delete or
    queue         may be fetchers      they hold                                          give back

Fetchers start when there is work for them. Where there is nothing to fetch there are none: receivers open
what they have received.

A blocked dataflow fills the inboxes; then fetchers wait, then receivers: nothing is hoarded. A heartbeat
per queue (lease_manager.py) keeps what is held alive meanwhile. Draining: receivers stop, what has not begun
goes back at once, what has begun goes on for `drain_seconds` and then stops at a cut.
"""

import math
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from itertools import groupby
from typing import Any
from zlib import crc32

from msgspec import Struct, field

from sources import metric_scopes, telemetry
from sources.aws.spending.budget import FREE, BudgetGate
from sources.bulkheads import Bulkheads, Fetch, common, fetching
from sources.journal import Journal
from sources.journal_gate import JournalGate
from sources.queues.failure_policy import Action, Rules, Verdict, decide
from sources.queues.inbox import BatchInbox
from sources.queues.lease_life import Lease, journal_rows
from sources.queues.lease_manager import LeaseManager
from sources.queues.message_opener import MessageOpener
from sources.queues.object_progress import ObjectProgress
from sources.queues.receiver import Polling, Receiver
from sources.queues.sqs import Message, MessageQueue, Queue, opened
from sources.threads import Threads
from transforms.locks import Guard, guarded

_WAKE_INTERVAL_SECONDS = 0.25
"""How long a waiting thread may miss the drain flag, which is not ours to watch."""

_WEIGH_SECONDS = 2.0
_MIXED = 4

_FAILURE_THRESHOLD = 8
"""Refusals of our own identity in a row, after which receiving slows down."""

_JITTER = random.SystemRandom()  # leaves the shared generator to those who seed it

_LOCKS = (
    Guard("_changed", ("_inboxes", "_bulkheads", "_fetching")),
    Guard(
        "_changed",
        ("stopped", "_started", "_fetchers", "_drained_at", "_weighed", "_failures"),
        read_freely=True,
    ),
)
"""And the inboxes' `dealt`. Of a `Fetch`, its own thread writes `moved`."""


class LeaseOptions(Struct, frozen=True):
    """What a service may choose.

    visibility_timeout_seconds: a lease's length; it is extended at half time, so this is also how late a
        message comes again after a crash. wait_seconds: long poll; short, because a process
        that ends waits for it: a reply to nobody hides its messages for a lease's length.
    receivers: per queue, at most. fetchers: objects read at once (fewer large ones, see `s3.py`);
        0 = whoever receives a message opens it.
    prefetch_bytes: what may wait in memory, inflated. batch_bytes: what one call of a lane emits, the
        time for which no other source is called.
    drain_seconds: how long begun objects may go on after SIGTERM. idle_seconds: longest sleep of a lane.
    window: objects whose repeats are recognised. rules: what is done about what cannot be read.
    owner: whom figures are counted for. journal: has the rows of a message before it is deleted.
    early_receipts: sinks answer a `ReceiptRequest`; FIFO queues need not wait for epochs. budget: lets wait.
    """

    visibility_timeout_seconds: int = 120
    wait_seconds: int = 3
    receivers: int = 4
    fetchers: int = 32
    prefetch_bytes: int = 24 << 20
    batch_bytes: int = 1 << 20
    drain_seconds: float = 2.0
    idle_seconds: float = 0.1
    window: int = 100_000
    rules: Rules = field(default_factory=Rules)
    owner: metric_scopes.ScopeOwner = metric_scopes.NOBODY
    journal: Journal | None = None
    early_receipts: bool = False
    budget: BudgetGate = FREE


@guarded(_LOCKS)
class LeaseFeed:
    """Receives, opens, keeps and ends the leases of one service in this process. Thread-safe."""

    def __init__(
        self,
        service: str,
        queues: Sequence[Queue | MessageQueue],
        opener: MessageOpener,
        options: LeaseOptions,
        drain: threading.Event,
    ) -> None:
        self.service, self.options, self.drain = service, options, drain
        threads = Threads(service, options.owner)
        self.spawn, self.check = threads.spawn, threads.check
        self.progress = ObjectProgress(options.window)
        self.stopped = self._started = False
        self._opener = opener
        lock = threading.RLock()  # one for all; but a lot of leases wakes nobody who waits for something else
        self._changed, self._leased, self._room = (threading.Condition(lock) for _ in range(3))
        self._enough = max(options.fetchers, 1)
        self._inboxes: dict[str, BatchInbox] = {}
        self._bulkheads = Bulkheads[Lease](options.fetchers)
        self._fetching: dict[Lease, tuple[Fetch[Lease], BatchInbox]] = {}
        self._fetchers = self._failures = 0
        self._drained_at = self._weighed = 0.0
        ordered = not options.fetchers and any(isinstance(one, Queue) and one.fifo for one in queues)
        self._turn = threading.Lock() if ordered else nullcontext()  # receivers must not overtake each other
        length = options.visibility_timeout_seconds
        polling = Polling(options.receivers, options.wait_seconds, length, options.budget)
        self._managers = [
            LeaseManager(service, queue, length, self.progress.settled, options.owner)
            for queue in map(opened, queues)
        ]
        rows_of = partial(journal_rows, service, options.owner.input)
        self._gate = JournalGate[Lease](options.journal, service, self.spawn, rows_of, self._hand_over)
        self._receivers = [Receiver(service, manager, polling, self) for manager in self._managers]

    # called by lanes

    def join(self, lane: str, state: Mapping[str, Any]) -> BatchInbox:
        """Serve a lane too, from the state of its last snapshot."""
        self.progress.load(lane, state)
        inbox = BatchInbox(self.options.prefetch_bytes)
        with self._changed:
            self._inboxes[lane] = inbox
            for one in self._inboxes.values():
                one.resize(self.options.prefetch_bytes // len(self._inboxes))
            telemetry.lane_joined(self.service, self.options.owner, len(self._inboxes))
        return inbox

    def start(self) -> None:
        """Start the threads, once. Not before every lane's state is here: an object may come to any lane.

        One thread starts the others: each start waits until the new thread runs, long on a busy machine.
        """
        with self._changed:
            if self._started:
                return
            self._started = True
        self.spawn("start", self._start_all)

    def _start_all(self) -> None:
        telemetry.leasing(self.service)
        if self.options.journal:
            self.progress.recall(self.options.journal.recent(self.service, self.options.owner.input))
        for receiver in self._receivers:
            receiver.start()
        for manager in self._managers:
            manager.start(self.spawn)

    def leave(self, lane: str) -> None:
        """Stop serving a lane. The last one ends the threads; leases left come again by themselves."""
        with self._changed:
            self._inboxes.pop(lane, None)
            self.stopped = self.stopped or not self._inboxes
            for one in (self._changed, self._leased, self._room):
                one.notify_all()
            telemetry.lane_left(self.service, len(self._inboxes))
        if self.stopped:
            self._gate.stop()
            for manager in self._managers:
                manager.stop()

    def settle(self, leases: Sequence[Lease]) -> None:
        """End leases of which everything that was emitted is receipted. Asks nothing of AWS here and now."""
        for lease in leases:
            self.progress.release(lease, whole=lease.back is None and not lease.lost)
        self._gate.take(leases)

    def _hand_over(self, leases: Sequence[Lease]) -> None:
        for manager, own in groupby(leases, key=lambda lease: lease.manager):
            manager.settle(list(own))

    def emptied(self) -> bool:
        """While draining: give back what has not begun, tell whether nothing more will come to any lane."""
        now = time.monotonic()
        with self._changed:
            self._drained_at = self._drained_at or now
            unbegun = self._bulkheads.clear()
            late = now - self._drained_at > self.options.drain_seconds
            begun = list(self._fetching) if late else []
        for lease in unbegun:
            self._give_back(lease, 0)
        for lease in begun:  # a thread that waits for AWS must not hold up the end
            self._end(lease, 0)
        with self._changed:
            return not self._fetching

    def settled(self) -> bool:
        """Tell that nothing is still to be deleted or given back, nor can a long poll bring more."""
        asking = any(receiver.asking for receiver in self._receivers)
        return not asking and self._gate.idle and all(manager.idle for manager in self._managers)

    # called by receivers

    @property
    def troubled(self) -> bool:
        """Tell that our identity was refused lately, whatever was to be read."""
        return self._failures >= _FAILURE_THRESHOLD

    @property
    def _halted(self) -> bool:
        return self.stopped or self.drain.is_set()

    def await_room(self) -> bool:
        """Wait until leases are wanted; False when it is time to stop."""
        with self._room:
            self._weigh()
            while not self._halted and self._full:
                self._room.wait(_WAKE_INTERVAL_SECONDS)
                self._weigh()
                self._tend()
        return not self._halted

    @property
    def _full(self) -> bool:
        """Tell that enough waits; some more when it is of several causes, since one may be in trouble."""
        most = self._enough * (_MIXED if self._bulkheads.mixed else 1)
        return self._bulkheads.waiting >= most

    def _tend(self) -> None:
        """Give back what waits in vain, and start threads in the place of those that are stuck."""
        with self._changed:
            dropped = self._bulkheads.drop_overflow(time.monotonic())
        for lease in dropped:
            self._bounce(lease)
        self._spawn_fetchers()

    def accept(self, leases: Sequence[Lease]) -> bool:
        """Take leases over; False when it is too late for them."""
        with self._leased:
            if self._halted:
                return False
            for manager, own in groupby(leases, key=lambda lease: lease.manager):
                manager.hold(own)
            unwanted = [lease for lease in leases if not self._line_up(lease)]
            self._leased.notify(len(leases))
        for lease in unwanted:
            self._bounce(lease)
        if self.options.fetchers:
            self._spawn_fetchers()
        else:
            self._fetch_ready()
        return True

    def _line_up(self, lease: Lease) -> bool:
        """Let a lease wait for a fetcher; False when nothing comes of its bucket or region at present."""
        names = self._causes(lease.message)
        if wanted := not self._bulkheads.unwanted(names):
            self._bulkheads.add(lease, names)
        return wanted

    def _causes(self, message: Message) -> tuple[str, ...]:
        """Return what a message has in common with others; what comes again does not stand before the new."""
        names = self._opener.causes(message)
        return (*names[:-1], f"{names[-1]}, again") if names and message.receives > 1 else names

    def _spawn_fetchers(self) -> None:
        with self._changed:
            before = self._fetchers
            wanted = self._bulkheads.wanted
            self._fetchers = max(before, wanted)
        for number in range(before, wanted):
            self.spawn(f"fetch-{number}", self._fetch_all)

    def _bounce(self, lease: Lease) -> None:
        """Give a message of a bucket or region in trouble back unopened: later each time, spread in time."""
        with self._changed:
            first = self._bulkheads.away(self._causes(lease.message), time.monotonic())
        delay = Verdict(Action.GIVE_BACK, "cause", first).delay(lease.message.receives)
        telemetry.lease_bounced(self.service)
        self._give_back(lease, int(delay * (1 - _JITTER.random() / 4)))

    def _give_back(self, lease: Lease, delay: int) -> None:
        """End a lease that nobody has opened."""
        with lease.manager.lock:
            lease.end(delay)
            lease.confirm()
        self.settle([lease])

    def pause(self, seconds: float) -> bool:
        """Wait; True when it is time to stop."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._halted and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _WAKE_INTERVAL_SECONDS))
        return self._halted

    def _weigh(self) -> None:
        """Show now and then how much waits for the dataflow, which may not call us for hours."""
        if (now := time.monotonic()) - self._weighed >= _WEIGH_SECONDS:
            self._weighed = now
            waiting = sum(inbox.bytes for inbox in self._inboxes.values())
            metric_scopes.prefetched(self.service, self.options.owner, waiting)

    # the fetchers

    def _fetch_all(self) -> None:
        while not self._halted:
            self._fetch_ready()
            with self._leased:
                if not self._halted:  # the last lane to leave wakes all
                    self._leased.wait(_WAKE_INTERVAL_SECONDS if self._bulkheads.waiting else None)

    def _fetch_ready(self) -> None:
        with self._turn:
            while (begun := self._begin()) is not None:
                self._fetch(*begun)

    def _begin(self) -> tuple[Fetch[Lease], BatchInbox] | None:
        """Take a lease and choose its lane: the one with the least waiting. None = there is none."""
        with self._changed:
            fetch = None if self._halted else self._bulkheads.begin(time.monotonic())
            if fetch is None:
                return None
            with fetch.lease.manager.lock:
                fetch.lease.fetch()
            inbox = self._lane_for(fetch.lease)
            inbox.dealt += 1  # among idle lanes they take turns: their workers share the work
            self._fetching[fetch.lease] = fetch, inbox
            if self._bulkheads.waiting == self._enough - 1:
                self._room.notify_all()
            if self._bulkheads.waiting and len(self._bulkheads) >= self._fetchers > 0:
                self._spawn_fetchers()  # else nobody would see that all are stuck
        return fetch, inbox

    def _lane_for(self, lease: Lease) -> BatchInbox:
        """Return the inbox with the least in it; a FIFO queue's group has one of its own, for its order."""
        group = lease.message.group
        if group:
            return self._inboxes[sorted(self._inboxes)[crc32(group.encode()) % len(self._inboxes)]]
        return min(self._inboxes.values(), key=lambda one: (one.bytes, one.leases, one.dealt))

    def _fetch(self, fetch: Fetch[Lease], inbox: BatchInbox) -> None:
        back: int | None = None
        failure: Exception | None = None
        lease = fetch.lease
        resume = partial(self.progress.claim, holder=lease)
        try:
            with fetching(fetch), closing(self._opener.open(lease.message, resume)) as cuts:
                for cut in cuts:
                    fetch.moved = math.inf  # what it waits for now is the dataflow
                    if cut.items or cut.object_id:
                        if not inbox.put(lease, cut, self._cut_short):
                            back = 0
                            break
                    elif cut.row:  # nothing of it is emitted, so there is no receipt to wait for
                        lease.rows.append(cut.row)
                    fetch.moved = time.monotonic()
        except Exception as error:  # noqa: BLE001 - told by `_failed`; the message stays
            failure, back = error, self._failed(lease, error)
        self._end(lease, back, failure)

    def _cut_short(self) -> bool:
        late = time.monotonic() - self._drained_at > self.options.drain_seconds
        return self.stopped or (self._drained_at > 0 and late)

    def _failed(self, lease: Lease, error: Exception) -> int | None:
        verdict = decide(error, self.options.rules)
        if verdict.action is Action.SETTLE:
            return None
        delay = verdict.delay(lease.message.receives)
        telemetry.fetch_failed(lease.manager.place, verdict.reason, error, delay, lease.message.receives)
        return delay

    def _end(self, lease: Lease, back: int | None, failure: Exception | None = None) -> None:
        """Close a lease, once; what has put nothing in an inbox needs no receipt and is settled here."""
        with self._changed:
            known = self._fetching.get(lease)
        if known is None:
            return
        fetch, inbox = known
        if inbox.end(lease, back) and not lease.begun:
            with lease.manager.lock:
                lease.confirm()
            self.settle([lease])
        with self._changed:
            self._fetching.pop(lease, None)
            self._failures = self._failures + 1 if failure and common(failure) else 0
            changed = self._bulkheads.end(fetch, failure, time.monotonic())
        for cause in changed:
            telemetry.cause_changed(self.service, cause.name, failing=cause.failing)
