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

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from typing import Any

from msgspec import Struct, field

from sources import metric_scopes, telemetry
from sources.queues.failure_policy import Action, Rules, decide
from sources.queues.inbox import BatchInbox
from sources.queues.lease_life import Lease
from sources.queues.lease_manager import LeaseManager
from sources.queues.message_opener import MessageOpener
from sources.queues.object_progress import ObjectProgress
from sources.queues.receiver import Polling, Receiver
from sources.queues.sqs import Queue, SqsQueue
from sources.threads import Threads

_WAKE_INTERVAL_SECONDS = 0.25
"""How long a waiting thread may miss the drain flag, which is not ours to watch."""

_WEIGH_SECONDS = 2.0

_FAILURE_THRESHOLD = 8
"""Failures in a row, of a kind that all objects share, after which receiving slows down."""


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
    owner: whom figures are counted for.
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


class LeaseFeed:
    """Receives, opens, keeps and ends the leases of one service in this process. Thread-safe."""

    def __init__(
        self,
        service: str,
        queues: Sequence[Queue],
        opener: MessageOpener,
        options: LeaseOptions,
        drain: threading.Event,
    ) -> None:
        self.service, self.options, self.drain = service, options, drain
        threads = Threads(service)
        self.spawn, self.check = threads.spawn, threads.check
        self.progress = ObjectProgress(options.window)
        self.stopped = False
        self._started = False
        self._opener = opener
        lock = threading.RLock()  # one for all; but a lot of leases wakes nobody who waits for something else
        self._changed, self._leased, self._room = (threading.Condition(lock) for _ in range(3))
        self._enough = max(options.fetchers, 1)
        self._inboxes: dict[str, BatchInbox] = {}
        self._ready: deque[Lease] = deque()
        self._fetching: dict[Lease, BatchInbox] = {}
        self._fetchers = 0
        self._drained_at = self._weighed = 0.0
        self._failures = 0
        length = options.visibility_timeout_seconds
        polling = Polling(options.receivers, options.wait_seconds, length)
        self._managers = [
            LeaseManager(service, SqsQueue(queue), length, self.progress.settled, options.owner)
            for queue in queues
        ]
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
            left = len(self._inboxes)
        telemetry.lane_left(self.service, left)
        if self.stopped:
            for manager in self._managers:
                manager.stop()

    def settle(self, leases: Sequence[Lease]) -> None:
        """End leases of which everything that was emitted is receipted. Asks nothing of AWS here and now."""
        for lease in leases:
            self.progress.release(lease, whole=lease.back is None and not lease.lost)
        for manager, own in groupby(leases, key=lambda lease: lease.manager):
            manager.settle(list(own))

    def emptied(self) -> bool:
        """While draining: give back what has not begun, tell whether nothing more will come to any lane."""
        now = time.monotonic()
        with self._changed:
            self._drained_at = self._drained_at or now
            unbegun = [*self._ready]
            self._ready.clear()
            late = now - self._drained_at > self.options.drain_seconds
            begun = list(self._fetching) if late else []
        for lease in unbegun:
            with lease.manager.lock:
                lease.end(0)
                lease.confirm()
        self.settle(unbegun)
        for lease in begun:  # a thread that waits for AWS must not hold up the end
            self._end(lease, 0)
        with self._changed:
            return not self._fetching

    def settled(self) -> bool:
        """Tell that nothing is still to be deleted or given back, nor can a long poll bring more."""
        asking = any(receiver.asking for receiver in self._receivers)
        return not asking and all(manager.idle for manager in self._managers)

    # called by receivers

    @property
    def troubled(self) -> bool:
        """Tell that nothing could be read lately, for a reason all objects share."""
        return self._failures >= _FAILURE_THRESHOLD

    @property
    def _halted(self) -> bool:
        return self.stopped or self.drain.is_set()

    def await_room(self) -> bool:
        """Wait until leases are wanted; False when it is time to stop."""
        with self._room:
            self._weigh()
            while not self._halted and len(self._ready) >= self._enough:
                self._room.wait(_WAKE_INTERVAL_SECONDS)
                self._weigh()
        return not self._halted

    def accept(self, leases: Sequence[Lease]) -> bool:
        """Take leases over; False when it is too late for them."""
        with self._leased:
            if self._halted:
                return False
            for manager, own in groupby(leases, key=lambda lease: lease.manager):
                manager.hold(own)
            self._ready.extend(leases)
            self._leased.notify(len(leases))
            before = self._fetchers
            wanted = min(len(self._ready) + len(self._fetching), self.options.fetchers)
            self._fetchers = max(before, wanted)
        for number in range(before, wanted):
            self.spawn(f"fetch-{number}", self._fetch_all)
        if not self.options.fetchers:
            self._fetch_ready()
        return True

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
                if not self._ready and not self._halted:
                    self._leased.wait()  # the last lane to leave wakes all

    def _fetch_ready(self) -> None:
        while (begun := self._begin()) is not None:
            self._fetch(*begun)

    def _begin(self) -> tuple[Lease, BatchInbox] | None:
        """Take a lease and choose its lane: the one with the least waiting. None = there is none."""
        with self._changed:
            if self._halted or not self._ready:
                return None
            lease = self._ready.popleft()
            with lease.manager.lock:
                lease.fetch()
            inbox = min(self._inboxes.values(), key=lambda one: (one.bytes, one.leases, one.dealt))
            inbox.dealt += 1  # among idle lanes they take turns: their workers share the work
            self._fetching[lease] = inbox
            if len(self._ready) == self._enough - 1:
                self._room.notify_all()
        return lease, inbox

    def _fetch(self, lease: Lease, inbox: BatchInbox) -> None:
        back: int | None = None
        resume = partial(self.progress.claim, holder=lease)
        try:
            with closing(self._opener.open(lease.message, resume)) as cuts:
                for cut in cuts:
                    if not inbox.put(lease, cut, self._cut_short):
                        back = 0
                        break
                else:
                    self._failures = 0
        except Exception as error:  # noqa: BLE001 - told by `_failed`; the message stays
            back = self._failed(lease, error)
        self._end(lease, back)

    def _cut_short(self) -> bool:
        late = self._drained_at and time.monotonic() - self._drained_at > self.options.drain_seconds
        return self.stopped or bool(late)

    def _failed(self, lease: Lease, error: Exception) -> int | None:
        verdict = decide(error, self.options.rules)
        if verdict.action is Action.SETTLE:
            return None
        self._failures += verdict.ours
        delay = verdict.delay(lease.message.receives)
        place, receives = lease.manager.place, lease.message.receives
        telemetry.fetch_failed(place, verdict.reason, error, delay, receives)
        return delay

    def _end(self, lease: Lease, back: int | None) -> None:
        """Close a lease, once; what has put nothing in an inbox needs no receipt and is settled here."""
        with self._changed:
            inbox = self._fetching.get(lease)
        if inbox is None:
            return
        if inbox.end(lease, back) and not lease.begun:
            with lease.manager.lock:
                lease.confirm()
            self.settle([lease])
        with self._changed:
            self._fetching.pop(lease, None)
