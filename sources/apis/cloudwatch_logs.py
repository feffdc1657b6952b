"""CloudWatch Logs: every event of the chosen log groups, which may come and go while the collector runs.

Parallel unit: a log group of a region. Guarantee: at least once, for every event that can be read within
settle + overlap of its own time; one that its sender holds back longer is found by nobody who reads by
time. Resume: the window at hand is read anew, without what was emitted of it. Cost: one FilterLogEvents
per page (1 MB or 10,000 events) and at least one per period and group; one DescribeLogGroups per 50 groups
and listing; both free of charge.

Why FilterLogEvents, not GetLogEvents
    id           it alone tells the eventId by which repeats are dropped; GetLogEvents has none, and two
                 equal lines in one millisecond cannot be told from one line read twice
    calls        one per group and period. GetLogEvents needs one per *stream*: `lastEventTimestamp`, by which
                 streams could be chosen, is late by up to an hour or longer and may be absent, so each of
                 them (a Lambda group has thousands) would have to be asked each time
    rate         5 to 10 requests a second and region against 10 to 25: no match for that factor
    streams      one that is born after a window closed, or deleted, needs no word
    order        both may answer short or empty pages that carry a token; order across streams is best effort
                 in either case, so nothing here relies on it: a cursor moves at the end of a window only
Groups of the classes Infrequent Access and Delivery refuse it (InvalidOperationException): they are told
and left out; CloudWatch Logs has no API that reads them by time except Insights queries, at a price.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from sources import telemetry
from sources.apis.cloudwatch import Api, Operation, blocks, fingerprint, line
from sources.apis.log_groups import Born, GroupRule, LogGroups, LogsClient, Reply
from sources.apis.poll import Page, Position, State, Target, restored, stored
from sources.apis.window import Reach, Seen, Window, next_window, now_ms
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

RATES = {"FilterLogEvents": 5.0, "DescribeLogGroups": 10.0}
"""Requests a second that AWS allows one account in one region by default, whoever asks."""

_FILTER: Operation[LogsClient] = Operation(
    "FilterLogEvents", "events", lambda client: client.filter_log_events
)
_NEVER_LISTED = Born(0, None)


class LogsOptions(Struct, frozen=True):
    """What the service may choose. settle and overlap: see `window.Reach`, in seconds."""

    regions: tuple[str, ...]
    groups: tuple[GroupRule, ...]
    period_seconds: float = 300
    settle_seconds: int = 60
    overlap_seconds: int = 300
    service: str = "logs"


class LogsPosition(Position, frozen=True, kw_only=True):
    """Where a group stands; times in epoch ms.

    asked: the rule's start. first: of the first event wanted. done: end of the last whole window. final: the
    next one begins there, and what is older is read no more. span: ms that it may go beyond `done`. seen:
    fingerprint of an event → its time. Within a window also window, and `more`: what `seen` is, for each of
    its pages.
    """

    VERSION: ClassVar[int] = 2

    asked: int | None = None
    first: int = field(name="from")
    done: int
    final: int
    span: int
    seen: dict[str, int]
    window: Window | None = None
    more: list[dict[str, int]] = field(default_factory=list)

    @classmethod
    def migrated(cls, state: State) -> State:
        """Return a state of version 1, which says how far the next window reaches back."""
        return {**state, "final": state.get("done", 0) - state.get("back", 0)}


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
        self._api: Api[LogsClient] = Api(account, "logs", limiters, drain)
        self._options, self._clock = options, clock
        self._settle, self._overlap = options.settle_seconds * 1000, options.overlap_seconds * 1000
        self._groups = LogGroups(self._api, self.name, options.regions, options.groups)
        self._vanished: set[str] = set()

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
        now = self._clock()
        usable = self._usable(target, found)
        at = usable or self._begin(target, now)
        window = at.window or next_window(at.done, now, Reach(self._settle, at.done - at.final, at.span))
        if window is None:
            if not usable:
                yield Page((), stored(at))
            return
        seen = Seen({key: ms for ids in (at.seen, *at.more) for key, ms in ids.items()})
        origin = Origin(self.name, target.account, target.region, target.detail)
        within, count = replace(at, window=window), 0
        for events, last in self._answers(target, max(window.start, at.first), window.end):
            fresh = _unseen(events, seen)
            count += len(fresh)
            items = tuple(blocks((line(_event(target, event)) for event in fresh.values()), origin))
            repeats = len(events) - len(fresh)
            if not last:
                ids = {key: event["timestamp"] for key, event in fresh.items()}
                within = replace(within, more=[*within.more, ids])
                yield Page(items, stored(within), upto=at.done, repeats=repeats)
            else:
                after = self._after(at, window, now, count)
                after = replace(after, seen=seen.since(after.final))
                yield Page(items, stored(after), window.end < now - self._settle, window.end, repeats)

    def _usable(self, target: Target, at: LogsPosition | None) -> LogsPosition | None:
        """Return a position, none when the configuration gives the group another start than it had then."""
        start = self._groups.born.get(target.key, _NEVER_LISTED).start
        if at is None or start in {None, at.asked}:
            return at
        telemetry.cursors_reset(f"{self.name} {target.key}", str(at.asked), str(start))
        return None

    def _begin(self, target: Target, now: int) -> LogsPosition:
        """Return the position of a group that was never polled, or shall begin anew."""
        born = self._groups.born.get(target.key, _NEVER_LISTED)
        if born.start is not None:
            begin = max(born.start, born.created - _OLDEST_PUT)
        else:
            begin = born.created if now - born.created < _DAY else now
        return LogsPosition(asked=born.start, first=begin, done=begin, final=begin, span=self._floor, seen={})

    def _after(self, at: LogsPosition, window: Window, now: int, count: int) -> LogsPosition:
        """Return the position after a window in which `count` events were new.

        The next one begins with all that may still become visible. What was older than settle + overlap when
        it was read is final: catching up reads nothing twice.
        """
        final = max(at.final, min(window.end, now - self._settle - self._overlap))
        span = self._next_span(window.end - at.done, count)
        return LogsPosition(asked=at.asked, first=at.first, done=window.end, final=final, span=span, seen={})

    @property
    def _floor(self) -> int:
        return max(_SPAN_FLOOR, int(self.period_seconds * 1000))

    def _next_span(self, length: int, count: int) -> int:
        """Return the longest next window, from the last one's length and number of events."""
        fits = length * _EVENTS_PER_WINDOW // max(count, 1)
        return max(_SPAN_LEAST, min(fits, max(2 * length, self._floor), _SPAN_CEILING))

    def _answers(self, target: Target, start: int, end: int) -> Iterator[tuple[Sequence[Reply], bool]]:
        """Yield the events of each page, and whether it is the last one; an empty one need not be."""
        asked = {"logGroupName": target.detail, "startTime": start, "endTime": end - 1}
        for reply in self._api.pages(target.region, _FILTER, target.key, "nextToken", **asked):
            yield reply["events"], not reply.get("nextToken")


def _unseen(events: Iterable[Reply], seen: Seen) -> dict[str, Reply]:
    """Return the events that were not seen before, by their fingerprint, and remember them."""
    keys = ((fingerprint(event["logStreamName"], event["eventId"]), event) for event in events)
    return {key: event for key, event in keys if seen.add(key, event["timestamp"])}


def _event(target: Target, event: Reply) -> dict[str, str | int]:
    """Return an event as it goes to Devo."""
    return {
        "logGroup": target.detail,
        "logStream": event["logStreamName"],
        "timestamp": event["timestamp"],
        "ingestionTime": event["ingestionTime"],
        "eventId": event["eventId"],
        "message": event["message"],
        "account": target.account,
        "region": target.region,
    }
