"""Receives from one queue with one to four long polls at a time, as the queue's depth asks for.

A full reply starts one more receiver, an empty one sends all but the first away. A queue that is missing or
denied is asked ever more rarely, by one receiver; other queues have their own. The same while our identity is
refused, whatever is to be read: each message received then would only wear out its redrive count.
"""

import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from sources import metric_scopes, telemetry
from sources.aws.spending.budget import FREE, BudgetGate
from sources.errors import IdentityAbsent, SourceError, Transient
from sources.queues.lease_life import Lease
from sources.queues.lease_manager import LeaseManager
from sources.queues.sqs import LOT, Message
from transforms.locks import Guard, guarded

if TYPE_CHECKING:
    from sources.queues.lease_feed import LeaseFeed

_LOCKS = (
    Guard("_lock", ("_running",)),
    Guard("_lock", ("_level", "_failures", "_cause", "_rests"), read_freely=True),
)

_JITTER = random.SystemRandom()  # leaves the shared generator to those who seed it

_LONGEST_SECONDS = 300.0
_LATE_SECONDS = 60.0
"""Longest rest while there is no identity: it may come any moment."""

_CATCH_UP_SECONDS = 0.2


class Polling(Struct, frozen=True):
    """How to ask: receivers at most, long poll and visibility in seconds. budget: may let it wait."""

    receivers: int
    wait_seconds: int
    visibility_seconds: int
    budget: BudgetGate = FREE


def pause_after(failures: int, jitter: float, first: float = 1.0, longest: float = _LONGEST_SECONDS) -> float:
    """Return the seconds to rest after the n-th failure in a row; jitter in 0…1 takes up to half of it."""
    return min(first * 2.0 ** min(failures - 1, 16), longest) * (1 - jitter / 2)


@guarded(_LOCKS)
class Receiver:
    """The receiving end of one queue."""

    def __init__(self, service: str, manager: LeaseManager, polling: Polling, gate: "LeaseFeed") -> None:
        self._service, self._manager, self._polling, self._gate = service, manager, polling, gate
        self._queue = manager.queue
        self._lock = threading.RLock()
        self._level = 1
        self._running: set[int] = set()
        self._failures, self._cause = 0, ""
        self._rests = 0

    def start(self) -> None:
        """Start the first receiver."""
        self._ensure(1)

    @property
    def asking(self) -> bool:
        """Tell that a long poll is under way: what it brings would be leased to nobody if we left now."""
        with self._lock:
            return bool(self._running)

    def _ensure(self, number: int) -> None:
        with self._lock:
            if number in self._running:
                return
            self._running.add(number)
        self._gate.spawn(f"{self._queue.queue.short}-receive-{number}", partial(self._run, number))

    def _run(self, number: int) -> None:
        while self._goes_on(number):
            self._round()

    def _goes_on(self, number: int) -> bool:
        """Tell whether a receiver goes on; one that does not can be started again from this moment."""
        ready = self._gate.await_room()
        with self._lock:
            wanted = ready and number <= self._level
            if not wanted:
                self._running.discard(number)
        return wanted

    def _round(self) -> None:
        if self._manager.behind:
            self._gate.pause(_CATCH_UP_SECONDS)
            return
        if pause := self._polling.budget.pause():
            self._gate.pause(pause)
            return
        troubled = self._gate.troubled
        if troubled and self._rest():
            return
        polling = self._polling
        if self._queue.receive_is_call:
            metric_scopes.asked(self._manager.place)
        wait = min(polling.wait_seconds, max(polling.visibility_seconds // 2, 1))
        asked = time.monotonic()
        try:
            messages = self._queue.receive(wait, polling.visibility_seconds, 1 if troubled else LOT)
        except SourceError as error:
            self._failed(error)
            return
        self._succeeded(len(messages), adapt=not troubled)
        came = time.monotonic()
        if not self._queue.receive_is_call:
            asked = came
        elif messages and came - asked - wait >= polling.visibility_seconds / 2:
            asked, messages = came, self._still_ours(messages, came - asked)
        if messages:
            self._hand_over(messages, asked)

    def _still_ours(self, messages: Sequence[Message], seconds: float) -> list[Message]:
        """Renew messages whose reply a link held for long; return those that nobody else has meanwhile.

        To leave them all alone would be safe, too, but nothing would be read where every reply is late.
        """
        visibility, outcomes = self._polling.visibility_seconds, list[SourceError | None]()
        try:
            outcomes += self._queue.change(
                [one.receipt_handle for one in messages], [visibility] * len(messages)
            )
        except SourceError as error:
            outcomes += [error] * len(messages)
        if lost := [str(error) for error in outcomes if error]:
            why = f"their reply came after {seconds:.0f} s: {lost[0]}"
            telemetry.leases_lost(self._service, self._queue.queue.short, len(lost), why)
        return [one for one, error in zip(messages, outcomes, strict=True) if error is None]

    def _hand_over(self, messages: Sequence[Message], asked: float) -> None:
        """Lease messages from the moment they were asked for: nobody knows when SQS gave them."""
        now, expires = time.monotonic(), asked + self._polling.visibility_seconds
        leases = [Lease(message, self._manager, now, expires) for message in messages]
        telemetry.lease_received(self._service, self._queue.queue.where, len(leases))
        if not self._gate.accept(leases):
            self._give_back(messages)

    def _give_back(self, messages: Sequence[Message]) -> None:
        """Return what a long poll brought after the end was decided."""
        try:
            self._queue.change([message.receipt_handle for message in messages], [0] * len(messages))
        except SourceError as error:
            telemetry.settle_failed(self._service, self._queue.queue.short, len(messages), error)

    def _succeeded(self, received: int, *, adapt: bool) -> None:
        self._manager.read_at = time.time()
        with self._lock:
            recovered, self._failures = self._failures > 0, 0
            more = received == LOT and adapt
            if adapt:
                self._rests = 0
            if more:
                self._level = min(self._level + 1, self._polling.receivers)
            elif received == 0:
                self._level = 1
            level = self._level
        if recovered:
            telemetry.source_recovered(self._manager.place, self._queue.queue.where, self._cause)
        if more:
            self._ensure(level)

    def _failed(self, error: SourceError) -> None:
        with self._lock:
            self._level = 1
            self._failures += 1
            failures, self._cause = self._failures, error.cause
        late = isinstance(error, IdentityAbsent)
        first = 1.0 if late or isinstance(error, Transient) else 5.0
        longest = _LATE_SECONDS if late else _LONGEST_SECONDS
        pause = pause_after(failures, _JITTER.random(), first, longest)
        telemetry.receive_failed(self._manager.place, self._queue.queue.where, error, pause, failures)
        self._gate.pause(pause)

    def _rest(self) -> bool:
        with self._lock:
            self._level = 1
            self._rests += 1
            rests = self._rests
        pause = pause_after(rests, _JITTER.random())
        telemetry.source_backing_off(self._service, self._queue.queue.where, pause, rests)
        return self._gate.pause(pause)
