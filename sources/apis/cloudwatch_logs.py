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
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from sources import telemetry
from sources.apis.cloudwatch import Api, blocks, fingerprint, line
from sources.apis.limiter import Limiters
from sources.apis.poll import Page, State, Target, known
from sources.apis.window import Reach, Seen, Window, next_window, now_ms
from sources.aws.account import Account
from sources.errors import Missing, SourceError
from transforms.block import Origin

_DAY = 86_400_000
_OLDEST_PUT = 14 * _DAY
"""PutLogEvents takes no events older than this, so nothing in a group is older than its birth less that."""

_SPAN_FLOOR, _SPAN_CEILING, _SPAN_LEAST = 60_000, 7 * _DAY, 1_000
_EVENTS_PER_WINDOW = 50_000
"""Windows shrink and grow so that about so many ids must be kept within one."""

_READABLE = "STANDARD"

RATES = {"FilterLogEvents": 5.0, "DescribeLogGroups": 10.0}
"""Requests a second that AWS allows one account in one region by default, whoever asks."""


class GroupRule(Struct, frozen=True):
    """Which groups, and from when on.

    name: a group's name or ARN; one that ends in `/` or `*` is a prefix (`/` alone: every group whose name
    begins so, and all others too). start: epoch ms of the first event wanted; None = from now on, and all
    of a group that is younger than a day.
    """

    name: str
    start: int | None = None

    @property
    def prefix(self) -> str | None:
        """What names must begin with; None when the rule is one group's exact name."""
        if self.group == "/":
            return ""
        return self.group.rstrip("*") if self.group.endswith(("/", "*")) else None

    @property
    def region(self) -> str:
        """The region that an ARN tells, "" for a name."""
        return self.name.split(":")[3] if self.name.startswith("arn:") else ""

    @property
    def group(self) -> str:
        """The name that an ARN tells, or the name."""
        return self.name.split(":log-group:")[-1].removesuffix(":*")

    def covers(self, group: str) -> bool:
        """Tell whether a group is meant."""
        return group == self.group if self.prefix is None else group.startswith(self.prefix)


class LogsOptions(Struct, frozen=True):
    """What the service may choose. settle and overlap: see `window.Reach`, in seconds."""

    regions: tuple[str, ...]
    groups: tuple[GroupRule, ...]
    period_seconds: float = 300
    settle_seconds: int = 60
    overlap_seconds: int = 300
    service: str = "logs"


class _Born(Struct, frozen=True):
    """When a group was created, and from when on its events are wanted (None = see `GroupRule`)."""

    created: int
    start: int | None


class CloudWatchLogs:
    """The `Poll` of CloudWatch Logs: one poll reads one window of one group.

    State: `{"v": 1, "asked": the rule's start or None, "from": first ms wanted, "done": end of the last whole
    window, "back": ms that the next one reaches into it, "span": ms that it may be long, "seen": {id: ms}}`,
    and within a window `"window": [start, end], "more": [{id: ms}, …]`, one for each of its pages.
    """

    def __init__(
        self,
        account: Account,
        options: LogsOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._api = Api(account, "logs", limiters, drain)
        self._options, self._clock = options, clock
        self._settle, self._overlap = options.settle_seconds * 1000, options.overlap_seconds * 1000
        self._born: dict[str, _Born] = {}
        self._vanished: set[str] = set()
        self._told: set[str] = set()

    # groups

    def targets(self) -> Iterable[Target | SourceError]:
        """Return every group that a rule covers; a region that fails does not hide the others."""
        regions = dict.fromkeys(
            (*self._options.regions, *(r.region for r in self._options.groups if r.region))
        )
        found: set[str] = set()
        failed = False
        for region in regions:
            try:
                for target in self._groups(region):
                    found.add(target.detail)
                    yield target
            except SourceError as error:
                failed = True
                yield error
        for rule in () if failed else self._options.groups:
            if rule.prefix is None and rule.group not in found:
                where = f"{rule.region or ', '.join(regions)}, {self._api.account.where}"
                yield Missing(f"no log group {rule.group}", where, "create it, or correct its name")

    def _groups(self, region: str) -> Iterator[Target]:
        rules = [rule for rule in self._options.groups if rule.region in {"", region}]
        found: dict[str, Any] = {}
        for prefix in _widest(rule.prefix for rule in rules):
            found.update((one["logGroupName"], one) for one in self._described(region, prefix))
        for rule in rules:
            if rule.prefix is None and rule.group not in found:
                # names are sorted: the group itself comes before all that only begin with its name
                first = islice(self._described(region, rule.group), 1)
                found.update((rule.group, one) for one in first if one["logGroupName"] == rule.group)
        for name, group in found.items():
            target = Target(f"{region}/{name}", group["arn"].split(":")[4], region, name)
            if self._readable(target, group):
                self._born[target.key] = _Born(group["creationTime"], _start_of(name, rules))
                yield target

    def _described(self, region: str, prefix: str) -> Iterator[Any]:
        """Yield the groups whose name begins with a prefix, by name."""
        asked: dict[str, Any] = {"logGroupNamePrefix": prefix} if prefix else {}
        place = f"{prefix or 'every group'} in {region}"
        while True:
            reply = self._api.ask(region, "DescribeLogGroups", "logGroups", place, **asked)
            yield from reply["logGroups"]
            if not reply.get("nextToken"):
                return
            asked["nextToken"] = reply["nextToken"]

    def _readable(self, target: Target, group: Any) -> bool:
        kind = group.get("logGroupClass", _READABLE)
        if kind != _READABLE and target.key not in self._told:
            self._told.add(target.key)
            telemetry.target_unreadable(self.name, target.key, f"log class {kind}")
        return bool(kind == _READABLE)

    # events

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the window at hand, or the next one; nothing when the group has just vanished."""
        try:
            yield from self._pages(target, known(state, f"{self.name} {target.key}"))
        except Missing:
            if target.key in self._vanished:  # it was gone last time, and is listed all the same
                raise
            self._vanished.add(target.key)
        else:
            self._vanished.discard(target.key)

    def _pages(self, target: Target, state: State) -> Iterator[Page]:
        now = self._clock()
        state = self._usable(target, state)
        at = state or self._begin(target, now)
        reach = Reach(self._settle, at["back"], at["span"])
        window = Window(*at["window"]) if "window" in at else next_window(at["done"], now, reach)
        if window is None:
            if not state:
                yield Page((), at)
            return
        seen = Seen({key: ms for ids in (at["seen"], *at.get("more", ())) for key, ms in ids.items()})
        origin = Origin(self.name, target.account, target.region, target.detail)
        within: State = {**at, "window": [window.start, window.end]}
        count = 0
        for events, last in self._answers(target, max(window.start, at["from"]), window.end):
            fresh = {}
            for event in events:
                key = fingerprint(event["logStreamName"], event["eventId"])
                if seen.add(key, event["timestamp"]):
                    fresh[key] = event
            count += len(fresh)
            items = tuple(blocks((line(_event(target, event)) for event in fresh.values()), origin))
            if not last:
                ids = {key: event["timestamp"] for key, event in fresh.items()}
                within = {**within, "more": [*within.get("more", ()), ids]}
                yield Page(items, within, upto=at["done"], repeats=len(events) - len(fresh))
            else:
                span, back = self._next_span(window.end - at["done"], count), self._back(window.end, now)
                after = {
                    "v": 1,
                    "asked": at.get("asked"),
                    "from": at["from"],
                    "done": window.end,
                    "back": back,
                    "span": span,
                }
                kept = seen.since(window.end - back)
                again = window.end < now - self._settle
                yield Page(items, {**after, "seen": kept}, again, window.end, len(events) - len(fresh))

    def _usable(self, target: Target, state: State) -> State:
        """Return a position, none when the configuration gives the group another start than it had then."""
        start, before = self._born.get(target.key, _Born(0, None)).start, state.get("asked")
        if "asked" not in state or start in {None, before}:
            return state
        telemetry.cursors_reset(f"{self.name} {target.key}", str(before), str(start))
        return {}

    def _begin(self, target: Target, now: int) -> State:
        """Return the position of a group that was never polled, or shall begin anew."""
        born = self._born.get(target.key, _Born(0, None))
        if born.start is not None:
            begin = max(born.start, born.created - _OLDEST_PUT)
        else:
            begin = born.created if now - born.created < _DAY else now
        position = {"from": begin, "done": begin, "back": 0, "span": self._floor, "seen": {}}
        return {"v": 1, "asked": born.start, **position}

    def _back(self, end: int, now: int) -> int:
        """Return how far the next window reaches back: over all that may still become visible.

        What was older than settle + overlap when it was read is final: catching up reads nothing twice.
        """
        return max(0, min(end - (now - self._settle - self._overlap), self._overlap))

    @property
    def _floor(self) -> int:
        return max(_SPAN_FLOOR, int(self.period_seconds * 1000))

    def _next_span(self, length: int, count: int) -> int:
        """Return the longest next window, from the last one's length and number of events."""
        fits = length * _EVENTS_PER_WINDOW // max(count, 1)
        return max(_SPAN_LEAST, min(fits, max(2 * length, self._floor), _SPAN_CEILING))

    def _answers(self, target: Target, start: int, end: int) -> Iterator[tuple[list[Any], bool]]:
        """Yield the events of each page, and whether it is the last one; an empty one need not be."""
        asked: dict[str, Any] = {"logGroupName": target.detail, "startTime": start, "endTime": end - 1}
        while True:
            reply = self._api.ask(target.region, "FilterLogEvents", "events", target.key, **asked)
            token = reply.get("nextToken")
            yield reply["events"], not token
            if not token:
                return
            asked["nextToken"] = token


def _widest(prefixes: Iterable[str | None]) -> list[str]:
    """Return the prefixes that no other one contains."""
    widest: list[str] = []
    for prefix in sorted({one for one in prefixes if one is not None}):
        if not any(prefix.startswith(other) for other in widest):
            widest.append(prefix)
    return widest


def _start_of(group: str, rules: Iterable[GroupRule]) -> int | None:
    """Return the start of the rule that says most about a group: its own name, else the longest prefix."""
    covering = [rule for rule in rules if rule.covers(group)]
    best = max(covering, key=lambda rule: (rule.prefix is None, len(rule.name)))
    return best.start


def _event(target: Target, event: Any) -> dict[str, Any]:
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
