"""The fetch threads of the cursor family: who is polled when, what failed, where pages wait.

A small pool serves all targets of a process; its threads start when there is work for them. A target is
either in the timetable or in the hands of one thread, never both. Its next poll starts from the state of
its last page, emitted or not: what was fetched and not emitted is in an inbox, in order, and lost together
with this process only.
"""

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from sources import metric_scopes, telemetry
from sources.apis.poll import Listing, Page, Poll, Rest, State, Target, done_of, pause_after, region_of
from sources.apis.window import LateEvents, now_ms, part_of_reach
from sources.aws.spending.budget import FREE, BudgetGate
from sources.errors import SourceError, translate
from sources.lanes import lane_of
from sources.threads import Threads
from transforms.block import Block
from transforms.locks import Guard, guarded

_INBOX_LOCKS = (Guard("_changed", ("_pages",)), Guard("_changed", ("_bytes",), read_freely=True))
_LOCKS = (
    Guard("_changed", ("_timetable", "_planned", "_watched", "_threads", "_asleep", "_tickets")),
    Guard("_changed", ("_inboxes", "_targets", "_upto", "_shown")),
    Guard("_changed", ("_ended", "_listing"), read_freely=True),
)
"""`_states`, `begun`, `_failures` and `_late` hold an item a target, which is in the hands of one thread."""

_JITTER = random.SystemRandom()  # leaves the shared generator to those who seed it

_LISTING = ""
"""The timetable's key of the listing of targets; no target has it."""

_SHOW_SECONDS = 2.0
_LATE_SECONDS = 86_400.0
"""How long the largest lateness of a target is shown."""

_FIRST_POLLS_A_SECOND, _WAKE_INTERVAL_SECONDS = 100.0, 0.2
"""How long a waiting thread may miss the drain flag."""


class Pace(Struct, frozen=True):
    """threads of the pool; seconds between listings; shortest pause after a failure; what lets polls wait."""

    threads: int
    discover_seconds: float
    backoff_seconds: float
    budget: BudgetGate = FREE


@guarded(_INBOX_LOCKS)
class PageInbox:
    """Pages that wait for one lane, bounded in bytes; one page alone may be larger than the bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pages: deque[tuple[str, Page, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._pages)

    @property
    def bytes(self) -> int:
        """About how much waits."""
        return self._bytes

    def put(self, key: str, page: Page, stopped: Callable[[], bool]) -> bool:
        """Add a page, waiting for room; False, and nothing added, when stopped."""
        size = _size(page)
        with self._changed:
            while self._pages and self._bytes + size > self._limit and not stopped():
                self._changed.wait(_WAKE_INTERVAL_SECONDS)
            if stopped():
                return False
            self._pages.append((key, page, size))
            self._bytes += size
        return True

    def take(self, limit: int) -> list[tuple[str, Page]]:
        """Return the oldest pages, at least one if there is any, up to `limit` bytes; never waits for one."""
        taken: list[tuple[str, Page]] = []
        total = 0
        with self._changed:
            while self._pages and (not taken or total + self._pages[0][2] <= limit):
                key, page, size = self._pages.popleft()
                taken.append((key, page))
                total += size
            self._bytes -= total
            if taken:
                self._changed.notify_all()
        return taken


def _size(page: Page) -> int:
    """Return about what a page holds in memory; a state with thousands of ids weighs more than its events."""
    items = sum(len(item.payload if isinstance(item, Block) else item.body) for item in page.items)
    return 512 + items + 64 * sum(len(part) for part in page.state.values() if isinstance(part, dict | list))


@guarded(_LOCKS)
class PollScheduler:
    """Timetable, pool and positions of one service in one process."""

    def __init__(
        self,
        poll: Poll,
        pace: Pace,
        inbox_bytes: int,
        drain: threading.Event,
        owner: metric_scopes.ScopeOwner = metric_scopes.NOBODY,
    ) -> None:
        self.name, self._owner = poll.name, owner
        self._upto, self._shown = dict[str, int](), 0.0
        self._late: dict[str, tuple[float, float, float]] = {}
        self._poll, self._pace, self._inbox_bytes, self._drain = poll, pace, inbox_bytes, drain
        lock = threading.RLock()
        self._changed, self._turn = threading.Condition(lock), threading.Condition(lock)
        self._ended = self._watched = False
        self._states, self.begun = dict[str, State](), dict[str, State]()
        self._since, self.born, self._begins = 0, now_ms(), dict[str, Callable[[str], int]]()
        self.since, self._inboxes = self.born, dict[str, PageInbox]()
        self._targets, self._listing = dict[str, Target](), Listing()
        self._resting = dict[str, SourceError]()
        self._timetable, self._planned = list[tuple[float, int, str]](), set[str]()
        self._threads = self._asleep = self._tickets = 0
        threads = Threads(poll.name, owner)
        self._start, self.check = threads.spawn, threads.check
        self._failures: dict[str, tuple[int, str]] = {}

    # called by lanes

    def attach(self, lane: str, states: Mapping[str, State], begins: Callable[[str], int]) -> PageInbox:
        """Begin to serve a lane from its positions; the first one starts the threads.

        begins: from when on (epoch ms, 0 = unknown) a target without a position is read, by its key.
        """
        inbox = PageInbox(self._inbox_bytes)
        with self._changed:
            first = not self._inboxes
            self._inboxes[lane], self._begins[lane] = inbox, begins
            self._states.update(states)
            self._since = max(self._since, *map(done_of, states.values()), 0)
            self.since = self._since or self.born  # where no state says more
            self._plan_new()
            telemetry.lane_joined(self.name, self._owner, len(self._inboxes))
        if first:
            self._plan(_LISTING, 0)
            with self._changed:
                self._spawn()
        return inbox

    def detach(self, lane: str) -> None:
        """Stop serving a lane; the last one ends the threads."""
        with self._changed:
            self._inboxes.pop(lane, None)
            left = len(self._inboxes)
            self._ended = not left
            self._changed.notify_all()
            self._turn.notify_all()
        telemetry.lane_left(self.name, left)

    def emitted(self, arrived: Sequence[tuple[str, Page]]) -> None:
        """Count pages that were handed to the dataflow, and show how far they have come."""
        metric_scopes.emitted(self.name, self._owner, [(region_of(key), page.items) for key, page in arrived])
        with self._changed:
            self._upto.update({key: page.upto for key, page in arrived if page.upto})

    def _show(self) -> None:
        """Show how far the targets of each region have come, and what waits; now and then."""
        if time.monotonic() - self._shown < _SHOW_SECONDS:  # there may be thousands of targets
            return
        self._shown = time.monotonic()
        waiting = sum(inbox.bytes for inbox in self._inboxes.values())
        oldest: dict[str, int] = {}
        for key, ms in self._upto.items():
            region = region_of(key)
            if key in self._targets:
                oldest[region] = min(ms, oldest.get(region, ms))
        for region, ms in oldest.items():
            metric_scopes.read_up_to(self._scope(region), ms / 1000)
        worst: dict[str, tuple[float, float]] = {}  # the target with the least room stands for its region
        for key, (most, reach, _) in self._late.copy().items():
            found = worst.get(region_of(key), (0.0, 1.0))
            worst[region_of(key)] = max(found, (most, reach), key=part_of_reach)
        for region, (most, reach) in worst.items():
            metric_scopes.lateness(self._scope(region), most, reach)
        metric_scopes.prefetched(self.name, self._owner, waiting)

    def _scope(self, key: str) -> metric_scopes.MetricScope:
        return metric_scopes.place(self.name, self._owner, region_of(key))

    def listing(self) -> "Listing":
        """Return the last complete listing."""
        return self._listing

    def forget(self, key: str) -> None:
        """Drop the position of a target that has gone."""
        with self._changed:
            self._states.pop(key, None)

    # the pool

    def _stopped(self) -> bool:
        return self._ended or self._drain.is_set()

    def _work(self) -> None:
        while (key := self._next()) is not None:
            due = self._list() if key == _LISTING else self._fetch(key)
            with self._changed:
                self._planned.discard(key)
            if due is not None:
                self._plan(key, due)

    def _next(self) -> str | None:
        """Wait for the next key that is due; None when it is time to stop.

        One thread watches the time for all; when it goes to work it wakes or starts the next one.
        """
        with self._changed:
            while not self._stopped():
                if self._watched:
                    self._asleep += 1
                    self._turn.wait()
                    self._asleep -= 1
                    continue
                self._show()
                wait = self._timetable[0][0] - time.monotonic() if self._timetable else _WAKE_INTERVAL_SECONDS
                if wait <= 0:
                    self._hand_over()
                    return heapq.heappop(self._timetable)[2]
                self._watched = True
                self._changed.wait(min(wait, _WAKE_INTERVAL_SECONDS))
                self._watched = False
            self._turn.notify_all()
        return None

    def _hand_over(self) -> None:
        if self._asleep:
            self._turn.notify()
        elif self._threads < self._pace.threads:
            with suppress(RuntimeError):  # the system has no more threads: this one comes back
                self._spawn()

    def _spawn(self) -> None:
        self._start(str(self._threads), self._work)
        self._threads += 1

    def _plan(self, key: str, due: float) -> None:
        with self._changed:
            if key not in self._planned:
                self._planned.add(key)
                self._tickets += 1
                heapq.heappush(self._timetable, (due, self._tickets, key))
                self._changed.notify()

    def _plan_new(self) -> None:
        """Plan every listed target of the attached lanes that is not planned yet."""
        for key in self._targets:
            if lane_of(key) in self._inboxes:
                self._plan(key, 0)

    def _list(self) -> float:
        """List the targets; those that are new are due at once, those that have gone are planned no more."""
        found: dict[str, Target] = {}
        errors, rests, begun = list[SourceError](), list[Rest](), now_ms()
        with self._changed:
            before = set(self._targets)
        try:
            for one in self._poll.targets():
                if isinstance(one, Target):
                    found[one.key] = one
                    self._use(one)
                elif isinstance(one, Rest):
                    rests.append(one)
                else:
                    errors.append(one)
        except Exception as error:  # noqa: BLE001 - told, counted and tried again; positions stay
            errors.append(translate(error, self.name))
        resting = frozenset(one.account for one in rests)
        with self._changed:
            self._targets = {**self._targets, **found} if errors else found
            if not errors:
                self._listing = Listing(self._listing.number + 1, frozenset(found), resting, begun)
                self._forget_gone(before - set(found))
            self._plan_new()
            after = set(self._targets)
        if before != after:
            telemetry.targets_changed(self.name, len(after - before), len(before - after), len(after))
        self._tell_of(rests)
        streak = telemetry.FailureStreak(self._failures_of(_LISTING) + 1)
        for other in errors[1:]:
            telemetry.poll_failed(self._scope(_LISTING), "targets", other, streak)
        if errors:
            return time.monotonic() + self._failed(_LISTING, errors[0])
        self._succeeded(_LISTING)
        return time.monotonic() + self._pace.discover_seconds

    def _use(self, target: Target) -> None:
        """Plan a target that is new, while others are still being listed."""
        with self._changed:
            new = target.key not in self._targets
            self._targets[target.key] = target
            if new and lane_of(target.key) in self._inboxes:  # later polls follow each at its time
                spread = _JITTER.random() * len(self._targets) / _FIRST_POLLS_A_SECOND
                self._plan(target.key, time.monotonic() + spread)

    def _tell_of(self, rests: Iterable[Rest]) -> None:
        """Tell what of accounts cannot be listed, each when that begins, and when it is over."""
        told = {f"targets of {one.account}, {one.error.where}": one.error for one in rests if one.error}
        before, self._resting = self._resting, told
        scope, first = self._scope(_LISTING), telemetry.FailureStreak(1, targets=len(told))
        for what in told.keys() - before.keys():
            telemetry.poll_failed(scope, what, told[what], first)
        for what in before.keys() - told.keys():
            telemetry.poll_recovered(scope, what, before[what].cause, len(told))

    def _forget_gone(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._upto.pop(key, None)
            self._late.pop(key, None)
            if self._failures.pop(key, None):
                metric_scopes.well(self._scope(key), self._failing(key))

    def _fetch(self, key: str) -> float | None:
        """Poll one target once; returns when it is due again, None when it has gone or all stops."""
        with self._changed:
            target = self._targets.get(key)
            inbox = self._inboxes.get(lane_of(key))
        if target is None or inbox is None:
            return None
        if pause := self._pace.budget.pause(key):
            return time.monotonic() + pause
        started, again, pages, events, spent = time.monotonic(), False, 0, 0, self._pace.budget.began()
        try:
            since = self._begins[lane_of(key)](key) or self.since
            for page in self._poll.pages(replace(target, since=since), self._state_of(target)):
                if not inbox.put(key, page, self._stopped):
                    return None
                self._states[key], again = page.state, page.again
                pages += 1
                metric_scopes.repeated(self._scope(key), page.repeats)
                self._note_lateness(key, page.late)
                events += sum(item.count for item in page.items if isinstance(item, Block))
        except Exception as error:  # noqa: BLE001 - told, counted and tried again; the position stays
            return time.monotonic() + self._failed(key, translate(error, f"{self.name} {key}"))
        self._succeeded(key)
        self._pace.budget.polled(key, spent)
        telemetry.polled(self._scope(key), key, target.account, events, pages)
        return time.monotonic() if again else started + self._poll.period_seconds

    def _state_of(self, target: Target) -> State:
        """Return a target's position, else that of its former key, which `begun` then has."""
        if target.key in self._states:
            return self._states[target.key]
        former = self._states.get(target.former, {})
        self.begun[target.key] = former if done_of(former) > target.born else {}
        return self.begun[target.key]

    def _note_lateness(self, key: str, late: LateEvents | None) -> None:
        if late is None:
            return
        most, reach, now = late.most / 1000, late.reach / 1000, time.monotonic()
        telemetry.read_late(self._scope(key), key, late.cumulative(), most, reach)
        before, _, since = self._late.get(key, (0.0, 0.0, now))
        renewed = most >= before or now - since > _LATE_SECONDS
        self._late[key] = (most, reach, now) if renewed else (before, reach, since)

    def _failed(self, key: str, error: SourceError) -> float:
        failures = self._failures_of(key) + 1
        self._failures[key] = failures, error.cause
        pause = pause_after(error, failures, self._pace.backoff_seconds, _JITTER.random())
        if not self._stopped():
            streak = telemetry.FailureStreak(failures, pause, self._failing(key))
            telemetry.poll_failed(self._scope(key), key or "targets", error, streak)
        return pause

    def _succeeded(self, key: str) -> None:
        failures, cause = self._failures.pop(key, (0, ""))
        if failures:
            telemetry.poll_recovered(self._scope(key), key or "targets", cause, self._failing(key))

    def _failing(self, key: str) -> int:
        """Return how many targets of a key's region fail at present; of none, how many cannot be listed."""
        region, others = region_of(key), list(self._failures)
        return sum(region_of(other) == region for other in others) + (0 if region else len(self._resting))

    def _failures_of(self, key: str) -> int:
        return self._failures.get(key, (0, ""))[0]
