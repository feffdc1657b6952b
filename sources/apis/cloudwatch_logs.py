"""CloudWatch Logs: every event of the chosen log groups, which may come and go while the collector runs.

Parallel unit: a log group of a region. Guarantee: at least once, for every event that can be read within the
group's reach of its own time: 20 minutes by default, and by itself more where events come later; one that its
sender holds back longer is found by `flows recheck`. Resume: the window at hand is read anew, without what
was emitted of it. Cost: one FilterLogEvents per period and group and, of groups that fill pages
(1 MB or 10,000 events), one per page, each event read twice; one DescribeLogGroups per 50 groups and listing;
both free of charge.

How late events are found
    quiet group   each window begins where everything is final, a reach ago: that is one page all the same
    busy group    windows follow each other, as far back as events are usually late; what has just become
                  final is read a second time, in whole requests; new and final take turns if that spares one
    ids           of all that is not final; where those are too many, of what was ingested in the last
                  seconds before it was read: what had been ingested before was in the reply already

Why FilterLogEvents, not GetLogEvents
    id           it alone tells the eventId by which repeats are dropped; GetLogEvents has none, and two
                 equal lines in one millisecond cannot be told from one line read twice
    calls        one per group and period. GetLogEvents needs one per *stream*: `lastEventTimestamp`, by which
                 streams could be chosen, is late by up to an hour or longer and may be absent, so each of
                 them (a Lambda group has thousands) would have to be asked each time
    order        across streams is best effort: a cursor moves at the end of a window only
Groups of the class Infrequent Access refuse it: logs/insights.py reads them where that is wanted, at a price.
"""

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from sources import telemetry
from sources.apis.api import Api, Forgotten, Operation, blocks, fingerprint, line
from sources.apis.log_groups import Born, GroupRule, LogGroups, LogsClient, Reply, Wider, event_of, whole
from sources.apis.logs.insights import LogQueries
from sources.apis.poll import Page, Position, State, Target, restored, stored
from sources.apis.window import (
    LateEvents,
    Lateness,
    ReachRule,
    Seen,
    Window,
    late_events,
    now_ms,
)
from sources.aws.account import Account
from sources.aws.limiter import Limiters
from sources.errors import Missing, SourceError
from transforms.block import Origin

_DAY = 86_400_000
_OLDEST_PUT = 14 * _DAY
"""PutLogEvents takes no events older than this, so nothing in a group is older than its birth less that."""

_SPAN_FLOOR, _SPAN_CEILING, _SPAN_LEAST = 60_000, 7 * _DAY, 1_000
_EVENTS_PER_WINDOW = 50_000
"""Windows shrink and grow so that about so many ids must be kept within one."""

_MOST_IDS = 50_000
"""Of a group; beyond, only those are kept that a second reading could not tell by their ingestion."""

_SHOWN_MS = 90_000
"""What was ingested so long before a request is in its reply; clocks may differ by a minute."""

_PAGE_EVENTS, _PAGE_BYTES = 10_000, 1 << 20
_FORGET = 0.9
_FITS = 0.93
"""Pages that a window may be expected to fill and still be taken for one."""

_FILTER: Operation[LogsClient] = Operation(
    "FilterLogEvents", "events", lambda client: client.filter_log_events
)
_NEVER_LISTED = Born(0, None)


class LogsOptions(Struct, frozen=True):
    """What the service may choose, in seconds.

    settle: younger events are left for the next window. overlap: with settle the least reach, the age up to
    which events that become visible late are found. max_reach: up to which it follows their lateness.
    stream_prefix, filter_pattern: only streams that begin so, only events that match, as AWS filters them.
    linked, queries: see `Wider`.
    """

    regions: tuple[str, ...]
    groups: tuple[GroupRule, ...]
    period_seconds: float = 300
    settle_seconds: int = 60
    overlap_seconds: int = 1140
    max_reach_seconds: int = 86_400
    stream_prefix: str | None = None
    filter_pattern: str | None = None
    linked: bool = False
    queries: bool = False
    service: str = "logs"


class LogsPosition(Position, frozen=True, kw_only=True):
    """Where a group stands; times in epoch ms.

    asked: the rule's start. first: of the first event wanted. done: end of the last whole window. final: what
    is older is read no more. span: ms that a window may be long. seen: fingerprint of an event → its time.
    reads: ends of the windows since `final`, and when they were read last. sparse: below it `seen` lacks
    what was ingested long before that moment. late: how late events are. found: of a second
    look, how late those are, in ms, that were found before. usual: in the mean of about `weight`
    events, ms.
    load: pages that a second of the group fills. Within a window also window, and `more`: what `seen` is, for
    each of its pages.
    """

    VERSION: ClassVar[int] = 2

    asked: int | None = None
    first: int = field(name="from")
    done: int
    final: int
    span: int
    seen: dict[str, int]
    reads: list[tuple[int, int]] = field(default_factory=list)
    sparse: int = 0
    late: Lateness = Lateness()
    found: int = 0
    usual: int = 0
    weight: float = 0.0
    load: float = 0.0
    window: Window | None = None
    more: list[dict[str, int]] = field(default_factory=list)

    @classmethod
    def migrated(cls, state: State) -> State:
        """Return a state of version 1, which says how far the next window reaches back."""
        return {**state, "final": state.get("done", 0) - state.get("back", 0)}

    def requests(self, length: int) -> int:
        """Return how many requests so many ms of the group are expected to take."""
        return max(1, ceil(self.load * length / 1000 / _FITS))

    def was_read_before(self, event: Reply) -> bool:
        """Tell whether an event whose id may be missing was read before, by when it was ingested."""
        ms = event["timestamp"]
        if self.found and event["ingestionTime"] - ms <= self.found:
            return True
        if ms >= self.sparse:
            return False
        at = bisect_right(self.reads, ms, key=lambda read: read[0])
        return at < len(self.reads) and bool(event["ingestionTime"] < self.reads[at][1] - _SHOWN_MS)


class LogWindows(Struct, frozen=True):
    """How windows of a group follow each other: pure arithmetic. settle, floor (shortest span): ms."""

    settle: int
    floor: int
    rule: ReachRule

    def next(self, at: LogsPosition, now: int) -> Window | None:
        """Return the window to read; None while everything later is too fresh.

        One that ends at or before `done` is a second reading of what has become final.
        """
        end = min(at.done + at.span, now - self.settle)
        if at.requests(end - at.final) == 1:
            return Window(at.final, end) if end > at.done else None
        reach = self.rule.of(at.late)
        if second := self._second(at, min(now - reach, at.done), reach):
            return second
        start = max(at.final, at.done - min(2 * at.usual, reach))
        return Window(start, end) if end > at.done else None

    def goes_on(self, at: LogsPosition, read: Window, now: int) -> bool:
        """Tell whether the next window is read at once, `read` having just been read.

        After a second reading what is new waits for the next poll, where that spares a request.
        """
        window = self.next(at, now)
        if window is None or read.end == at.done:
            return window is not None
        length = window.end - window.start
        apart = at.requests(length) + at.requests(self.floor)
        return window.end <= at.done or length > 2 * self.floor or at.requests(length + self.floor) >= apart

    def _second(self, at: LogsPosition, final: int, reach: int) -> Window | None:
        """Return what is read a second time, up to `final`: whole requests, of two periods at least."""
        request = max(1, int(_FITS * 1000 / at.load))
        if final - at.final < min(reach, max(2 * self.floor, request)):
            return None
        whole = max(request, (final - at.final) // request * request)
        return Window(at.final, min(final, at.final + whole, at.final + max(at.span, self.floor)))

    def after(self, at: LogsPosition, window: Window, read: "WindowEvents") -> LogsPosition:
        """Return the position after a window was read, which tells no more than AWS had when it was asked."""
        final, reads, now = at.final, at.reads, read.asked
        if window.end > at.done:
            window = Window(window.start, min(window.end, now - self.settle))
            if window.end <= at.done:  # this machine's clock is ahead: nothing new is settled
                return replace(at, seen=read.seen.since(final), window=None, more=[])
        if window.end <= at.done:
            final = window.end
        else:
            if window.start <= at.final:  # all that was not final has been read again just now
                final, reads = max(final, min(window.end, now - self.rule.of(at.late))), []
            reads = [*_until(reads, window.start), (window.end, read.asked)]
        seen = read.seen.since(final)
        sparse = at.sparse if at.sparse > final else 0
        if len(seen) > _MOST_IDS:
            sparse = max(window.end, at.done)
            seen = {key: ms for key, ms in seen.items() if key not in read.long_ago}
        return LogsPosition(
            asked=at.asked,
            first=at.first,
            done=max(window.end, at.done),
            final=final,
            span=self._span(window, read.count) if window.end > at.done else at.span,
            seen=seen,
            reads=[one for one in reads if one[0] > final],
            sparse=sparse,
            late=self.rule.after(at.late, read.most, now),
            usual=int((at.usual * at.weight + read.total) / max(at.weight + read.count, 1)),
            weight=_FORGET * (at.weight + read.count),
            load=(at.load + read.pages * 1000 / max(window.end - window.start, 1)) / 2,
        )

    def _span(self, window: Window, count: int) -> int:
        """Return the longest next window, from this one's length and number of events."""
        length = window.end - window.start
        if length > _SPAN_CEILING:  # the time before a group's birth tells nothing of the time since
            return self.floor
        fits = length * _EVENTS_PER_WINDOW // max(count, 1)
        return max(_SPAN_LEAST, min(fits, max(2 * length, self.floor), _SPAN_CEILING))


def _until(reads: Iterable[tuple[int, int]], start: int) -> Iterator[tuple[int, int]]:
    """Yield readings up to where a new one begins."""
    for end, asked in reads:
        yield min(end, start), asked
        if end >= start:
            return


class WindowEvents:
    """What a window has brought so far. long_ago: ids of events that were ingested long before.

    count: of new events. most, total: of their lateness, in ms. asked: when, by AWS's clock if that lags.
    """

    def __init__(self, at: LogsPosition, now: int, reach: int) -> None:
        self.seen = Seen({key: ms for ids in (at.seen, *at.more) for key, ms in ids.items()})
        self.long_ago: set[str] = set()
        self.count = self.most = self.total = 0
        self.replies, self._filled = 0, 0.0
        self._at, self.asked, self._reach = at, now, reach

    @property
    def pages(self) -> float:
        """How many pages it filled, the last one in part."""
        return max(self._filled, self.replies - 1)

    def add(self, events: Sequence[Reply], asked: int) -> tuple[dict[str, Reply], LateEvents]:
        """Return the events that were not read before, by fingerprint, and how late they are."""
        self.asked = min(self.asked, asked)
        fresh: dict[str, Reply] = {}
        size = 0
        for event in events:
            size += len(event["message"])
            key = fingerprint(event["logStreamName"], event["eventId"])
            if event["ingestionTime"] < self.asked - _SHOWN_MS:
                self.long_ago.add(key)
            if not self._at.was_read_before(event) and self.seen.add(key, event["timestamp"]):
                fresh[key] = event
        lateness = [max(0, one["ingestionTime"] - one["timestamp"]) for one in fresh.values()]
        late = late_events(lateness, self._reach)
        self.count += len(fresh)
        self.most, self.total = max(self.most, late.most), self.total + sum(lateness)
        self.replies += 1
        self._filled += max(len(events) / _PAGE_EVENTS, size / _PAGE_BYTES)
        return fresh, late


class CloudWatchLogs:
    """The `Poll` of CloudWatch Logs: one poll reads one window of one group. State: `LogsPosition`."""

    def __init__(
        self,
        account: Account,
        options: LogsOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._api: Api[LogsClient] = Api(account, "logs", limiters, drain, clock)
        self._options, self._clock, settle = options, clock, options.settle_seconds * 1000
        least, wider = settle + options.overlap_seconds * 1000, Wider(options.linked, options.queries)
        rule = ReachRule(least, max(least, options.max_reach_seconds * 1000))
        self._windows = LogWindows(settle, max(_SPAN_FLOOR, int(self.period_seconds * 1000)), rule)
        self._groups = LogGroups(self._api, self.name, options.regions, options.groups, wider)
        self._queries = LogQueries(self._api, drain, options.stream_prefix or "")
        chosen = ("logStreamNamePrefix", options.stream_prefix), ("filterPattern", options.filter_pattern)
        self._chosen = {name: value for name, value in chosen if value}
        self._vanished, self._forgotten = set[str](), Forgotten(self.name)

    def targets(self) -> Iterable[Target | SourceError]:
        """Return every group that a rule covers; a region that fails does not hide the others."""
        return self._groups.targets()

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the window at hand, or the next one; nothing when the group has just vanished."""
        try:
            yield from self._pages(target, restored(LogsPosition, state, f"{self.name} {target.key}"))
        except Missing:
            if target.key in self._vanished:  # it was gone last time, and is listed all the same
                raise
            self._vanished.add(target.key)
        else:
            self._vanished.discard(target.key)

    def _pages(self, target: Target, found: LogsPosition | None) -> Iterator[Page]:
        asked_at = self._clock()
        now = self._api.by_aws(asked_at)
        usable = self._usable(target, found, now)
        at = usable or self._begin(target, now)
        window = at.window or self._windows.next(at, now)
        if window is None:
            if not usable:
                yield Page((), stored(at))
            return
        origin = Origin(self.name, target.account, target.region, target.detail)
        within, read = replace(at, window=window), WindowEvents(at, now, self._windows.rule.of(at.late))
        for events, last in self._answers(target, Window(max(window.start, at.first), window.end)):
            fresh, late = read.add(events, self._api.by_aws(asked_at))
            items = tuple(blocks((line(event_of(target, event)) for event in fresh.values()), origin))
            repeats, kept = len(events) - len(fresh), self._kept(fresh)
            if not last:
                ids = {key: event["timestamp"] for key, event in fresh.items()}
                within = replace(within, more=[*within.more, ids])
                yield Page(items, stored(within), upto=at.done, repeats=repeats, late=late, ids=kept)
            else:
                after = self._windows.after(at, window, read)
                whole = Window(window.start, min(window.end, after.done))
                again = self._windows.goes_on(after, whole, read.asked)
                yield Page(items, stored(after), again, after.done, repeats, late, kept)

    def _kept(self, fresh: Mapping[str, Reply]) -> dict[str, int]:
        """Return the ids that a second look needs: others it knows by their lateness."""
        least = self._windows.rule.least
        late = {key: one for key, one in fresh.items() if one["ingestionTime"] - one["timestamp"] > least}
        return {key: one["timestamp"] for key, one in late.items()}

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more; what was no later than the least reach has been found."""
        start, least = window.start, self._windows.rule.least
        at = LogsPosition(
            first=start, done=start, final=start, span=self._windows.floor, seen=ids, found=least
        )
        asked = self._groups.born.get(target.key, _NEVER_LISTED).start
        yield from self._pages(target, replace(at, asked=asked, window=window))

    def _usable(self, target: Target, at: LogsPosition | None, now: int) -> LogsPosition | None:
        """Return a position, none when the configuration gives the group another start than it had then."""
        born = self._groups.born.get(target.key, _NEVER_LISTED)
        if at is None or born.start in {None, at.asked}:
            if at and born.days:
                oldest, kept = born.oldest(now) - _SPAN_FLOOR, f"the group keeps its events {born.days} days"
                self._forgotten.clamped(target.key, at.done, oldest, kept)
            return at
        telemetry.cursors_reset(f"{self.name} {target.key}", str(at.asked), str(born.start))
        return None

    def _begin(self, target: Target, now: int) -> LogsPosition:
        """Return the position of a group that was never polled, or shall begin anew."""
        born, span = self._groups.born.get(target.key, _NEVER_LISTED), self._windows.floor
        if born.start is not None:
            begin = max(born.start, born.created - _OLDEST_PUT, born.oldest(now))
        elif born.created > target.begin(now) - _DAY:  # its first lines are older than itself
            begin, span = born.created - _OLDEST_PUT, _OLDEST_PUT + _DAY  # no query may end before its birth
        else:
            begin = target.begin(now)
        return LogsPosition(asked=born.start, first=begin, done=begin, final=begin, span=span, seen={})

    def _answers(self, target: Target, window: Window) -> Iterator[tuple[Sequence[Reply], bool]]:
        """Yield each page's events, and whether it is the last one; an empty page need not be."""
        if self._groups.born.get(target.key, _NEVER_LISTED).by_query:
            yield from self._queries.events(target, window)
            return
        equal = Counter[str]()
        by = "logGroupIdentifier" if target.detail.startswith("arn:") else "logGroupName"
        asked = {by: target.detail, "startTime": window.start, "endTime": window.end - 1, **self._chosen}
        for reply in self._api.pages(target.region, _FILTER, target.key, "nextToken", **asked):
            events = [whole(event, window.start, equal) for event in reply["events"]]
            yield events, not reply.get("nextToken")
