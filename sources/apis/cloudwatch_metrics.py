"""CloudWatch metrics: one event per metric and period with all five statistics.

Parallel unit: a region. Guarantee: at least once, for every point that can be read by the second reading of
its period; a point that has changed by then comes once more, one that has not does not. Resume: the window
at hand is read anew, without what was emitted of it. Cost: one GetMetricData per 100 metrics and poll
(about 0.01 $ per thousand metrics), one ListMetrics per 500 metrics and hour.

    now ───────────────────────────────────────────────┐
    delay: points that are not final          ├────────┤
    new periods, read first         ├─────────┤
    read once more        ├─────────┤

The second reading rides in the requests of the first one: a window of two periods costs the same calls as
one of one. Windows are half-open and aligned to the period, as GetMetricData has it. While history is caught
up nothing is read twice. What changed is told by a digest of each point's values in the state.

ListMetrics (refreshed each hour, recently active ones only) tells new metrics up to 15 minutes and a
listing late: a metric that is new in a listing is read from the last listing before on.

GetMetricData cannot           then
    answer a metric (Internal-     once more in a batch of all such; still not: GetMetricStatistics, one call
    Error, partial, left out)      per metric
    be called at all (denied)      GetMetricStatistics for all, until the next listing
    read a metric (Forbidden)      it is told and left out
    tell units                     `unit` is null, unless GetMetricStatistics was asked and told it: one call
                                   per metric only for its unit would be a hundred times the calls
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from sources import telemetry
from sources.apis.cloudwatch import Api, blocks, fingerprint, line
from sources.apis.limiter import Limiters
from sources.apis.metric_data import (
    STATISTICS,
    Batch,
    Metric,
    MetricAnswer,
    Point,
    answer,
    batches,
    dimensions_of,
    event,
    metric_of,
    points_of,
    queries,
)
from sources.apis.poll import Page, State, Target, known
from sources.apis.window import Seen, Window, now_ms, to_datetime
from sources.aws.account import Account
from sources.errors import BadCredentials, Denied
from transforms.block import Item, Origin

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_RECENT = 3 * _HOUR
"""How far back RecentlyActive reaches."""

_LISTED_LATE = 15 * _MINUTE
"""How long a new metric may be missing in ListMetrics."""

RATES = {"GetMetricData": 50.0, "ListMetrics": 25.0, "GetMetricStatistics": 400.0}
"""Requests a second that AWS allows one account in one region by default, whoever asks."""

_LONGEST_PERIODS = 720
"""New periods per window; with as many read once more it is what GetMetricStatistics gives at once."""


class MetricsOptions(Struct, frozen=True):
    """What the service may choose. start: epoch ms of the first period wanted, None = from now on.

    namespaces, names: only these, () = all. dimensions: name → value that a metric must have, "" = any.
    period: seconds of one point. delay_seconds: age below which a point is not asked for.
    period_seconds: from one poll to the next. list_seconds: between listings.
    """

    regions: tuple[str, ...]
    start: int | None = None
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)
    period: int = 300
    delay_seconds: int = 180
    period_seconds: float = 300
    list_seconds: float = 3600
    service: str = "metrics"


class _Listing(Struct, frozen=True):
    """The metrics of a region at a time (epoch ms). ids: their fingerprints, in the same order."""

    at: int
    metrics: tuple[Metric, ...]
    ids: tuple[str, ...]


class CloudWatchMetrics:
    """The `Poll` of CloudWatch metrics: one poll reads one window of one region.

    State: `{"v": 1, "period": seconds, "from": first ms wanted, "done": end of the last whole window,
    "start": where the next one begins (before `done`: read once more), "seen": {digest of a point: ms},
    "listed": ms of the last listing, "known": [id of a metric, …]}`, and within a window `"window": [start,
    end], "more": [{digest: ms}, …]`, one for each of its pages.
    """

    def __init__(
        self,
        account: Account,
        options: MetricsOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._api = Api(account, "cloudwatch", limiters, drain)
        self._options, self._clock = options, clock
        self._period = options.period * 1000
        self._listings: dict[str, _Listing] = {}
        self._denied: set[str] = set()
        self._told: set[str] = set()

    def targets(self) -> Iterable[Target]:
        """Return the regions; only the account's number may be asked for."""
        account = self._api.account.account_id
        return [Target(region, account, region) for region in self._options.regions]

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the window at hand, or the next one."""
        now = self._clock()
        at = self._aligned(known(state, f"{self.name} {target.key}")) or self._begin(target, now)
        window = Window(*at["window"]) if "window" in at else self._next(at, now)
        if window is None:
            if not state:
                yield Page((), at)
            return
        listing = self._listing(target, window, now)
        seen = Seen({key: ms for ids in (at["seen"], *at.get("more", ())) for key, ms in ids.items()})
        within: State = {**at, "window": [window.start, window.end]}
        repeats = 0
        for points in self._points(target, self._batches(listing, window, at)):
            fresh: dict[str, Point] = {}
            for point in points:
                # half a point is one that is being written: the second reading finds it whole
                if not (point.whole or point.ms < at["done"]):
                    continue
                key = _digest(point)
                if seen.add(key, point.ms):
                    fresh[key] = point
                else:
                    repeats += 1
            if fresh:
                ids = {key: point.ms for key, point in fresh.items()}
                within = {**within, "more": [*within.get("more", ()), ids]}
                yield Page(tuple(self._items(target, fresh.values())), within)
        start = at["done"] if self._may_change(window, now) else window.end
        after = self._state(at["from"], window.end, start)
        after.update(seen=seen.since(start), listed=listing.at, known=list(listing.ids))
        yield Page((), after, window.end < self._last_end(now), window.end, repeats)

    # windows

    def _state(self, first: int, done: int, start: int) -> State:
        period = self._options.period
        return {
            "v": 1,
            "period": period,
            "from": first,
            "done": done,
            "start": start,
            "seen": {},
            "listed": 0,
            "known": [],
        }

    def _begin(self, target: Target, now: int) -> State:
        """Return the position of a region that was never polled, as far back as points are kept."""
        asked = now if self._options.start is None else self._options.start
        oldest = now - _kept(self._options.period)
        if asked < oldest and target.key not in self._told:
            self._told.add(target.key)
            reason = f"points of {self._options.period} s are not kept longer"
            used = to_datetime(oldest).isoformat()
            telemetry.start_clamped(self.name, target.key, to_datetime(asked).isoformat(), used, reason)
        begin = max(asked, oldest) // self._period * self._period
        return self._state(begin, begin, begin)

    def _aligned(self, state: State) -> State:
        """Return a state; one that was left with another period goes on from a whole one of this period."""
        if not state or state["period"] == self._options.period:
            return state
        done = state["done"] // self._period * self._period
        kept = {key: value for key, value in state.items() if key not in {"window", "more"}}
        return {**kept, "period": self._options.period, "done": done, "start": done, "seen": {}}

    def _last_end(self, now: int) -> int:
        """Return the end of the last period that is old enough."""
        return (now - self._options.delay_seconds * 1000) // self._period * self._period

    def _next(self, at: State, now: int) -> Window | None:
        end = min(self._last_end(now), at["done"] + _LONGEST_PERIODS * self._period)
        return Window(at["start"], end) if end > at["done"] else None

    def _may_change(self, window: Window, now: int) -> bool:
        """Tell whether the newest part of a window is young enough to be read once more."""
        return window.end > now - max(_RECENT, 2 * self._period)

    # metrics

    def _listing(self, target: Target, window: Window, now: int) -> _Listing:
        """Return the metrics of a region, listed anew when the last listing is too old."""
        found = self._listings.get(target.key)
        if found is None or now - found.at >= self._options.list_seconds * 1000:
            recent = self._period <= _HOUR and window.start > now - _RECENT
            metrics = tuple(sorted(set(self._listed(target, recent=recent))))
            found = _Listing(now, metrics, tuple(fingerprint(*metric) for metric in metrics))
            self._listings[target.key] = found
            self._denied.discard(target.key)
        return found

    def _listed(self, target: Target, *, recent: bool) -> Iterator[Metric]:
        options = self._options
        asked: dict[str, Any] = {"RecentlyActive": "PT3H"} if recent else {}
        if options.dimensions:
            asked["Dimensions"] = [
                {"Name": name, "Value": value} if value else {"Name": name}
                for name, value in options.dimensions.items()
            ]
        if len(options.names) == 1:
            asked["MetricName"] = options.names[0]
        for namespace in options.namespaces or ("",):
            wanted = {**asked, "Namespace": namespace} if namespace else asked
            for page in self._all("ListMetrics", "Metrics", target, wanted):
                found = map(metric_of, page)
                yield from (one for one in found if not options.names or one.name in options.names)

    def _batches(self, listing: _Listing, window: Window, at: State) -> Iterator[Batch]:
        """Yield the requests of a window: known metrics, and new ones from the listing before on."""
        before = set(at["known"])
        since = (
            (at["listed"] - _LISTED_LATE - self._options.delay_seconds * 1000) // self._period * self._period
        )
        start = max(since, at["from"])
        if not at["listed"] or start >= window.start:
            yield from batches(listing.metrics, window, self._options.period)
            return
        pairs = list(zip(listing.ids, listing.metrics, strict=True))
        old = [metric for key, metric in pairs if key in before]
        new = [metric for key, metric in pairs if key not in before]
        yield from batches(old, window, self._options.period)
        yield from batches(new, Window(start, window.end), self._options.period)

    # points

    def _points(self, target: Target, asked: Iterable[Batch]) -> Iterator[Sequence[Point]]:
        """Yield the points of each batch; metrics without an answer are asked for again at the end."""
        undone: dict[Window, list[Metric]] = {}
        for batch in asked:
            found = self._answer(target, batch)
            yield found.points
            undone.setdefault(batch.window, []).extend(found.open)
        for window, metrics in undone.items():
            for batch in batches(metrics, window, self._options.period):
                found = self._answer(target, batch)
                yield found.points
                for metric in found.open:
                    yield self._statistics(target, metric, window)

    def _answer(self, target: Target, batch: Batch) -> MetricAnswer:
        """Ask for a batch by GetMetricData; by GetMetricStatistics where that is denied."""
        if target.key not in self._denied:
            try:
                return self._data(target, batch)
            except BadCredentials:
                raise
            except Denied as error:
                self._denied.add(target.key)
                telemetry.metric_data_denied(self.name, target.key, error)
        points = [p for metric in batch.metrics for p in self._statistics(target, metric, batch.window)]
        return MetricAnswer(tuple(points), (), ())

    def _data(self, target: Target, batch: Batch) -> MetricAnswer:
        asked = {
            "MetricDataQueries": queries(batch, self._options.period),
            "StartTime": to_datetime(batch.window.start),
            "EndTime": to_datetime(batch.window.end),
            "ScanBy": "TimestampAscending",
        }
        pages = self._all("GetMetricData", "MetricDataResults", target, asked)
        found = answer(batch, (result for page in pages for result in page))
        for metric in found.forbidden:
            self._tell_forbidden(target, metric)
        return found

    def _statistics(self, target: Target, metric: Metric, window: Window) -> list[Point]:
        reply = self._api.ask(
            target.region,
            "GetMetricStatistics",
            "Datapoints",
            f"{metric.namespace} {metric.name} in {target.region}",
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=dimensions_of(metric),
            StartTime=to_datetime(window.start),
            EndTime=to_datetime(window.end),
            Period=self._options.period,
            Statistics=list(STATISTICS),
        )
        return list(points_of(metric, reply["Datapoints"]))

    def _tell_forbidden(self, target: Target, metric: Metric) -> None:
        key = f"{target.key} {metric.namespace} {metric.name}"
        if key not in self._told:
            self._told.add(key)
            telemetry.target_unreadable(self.name, key, "GetMetricData says Forbidden")

    def _items(self, target: Target, points: Iterable[Point]) -> Iterator[Item]:
        origin = Origin(self.name, target.account, target.region, "GetMetricData")
        period = self._options.period
        made = (event(one, period, target.account, target.region, _iso(one.ms)) for one in points)
        yield from blocks(map(line, made), origin)

    def _all(self, api: str, mandatory: str, target: Target, asked: dict[str, Any]) -> Iterator[list[Any]]:
        """Yield the mandatory list of every page; an empty one that carries a token is not the end."""
        token: dict[str, Any] = {}
        while True:
            reply = self._api.ask(target.region, api, mandatory, target.key, **asked, **token)
            yield reply[mandatory]
            if not reply.get("NextToken"):
                return
            token = {"NextToken": reply["NextToken"]}


def _kept(period: int) -> int:
    """Return for how many ms CloudWatch keeps points of a period (seconds)."""
    if period < 60:  # noqa: PLR2004 - seconds of a minute
        return _RECENT
    if period % 300:
        return 15 * _DAY
    return 63 * _DAY if period % 3600 else 455 * _DAY


def _digest(point: Point) -> str:
    """Return what tells a point from another one and from its own revision."""
    return fingerprint(*point.metric, point.ms, *point.values)


def _iso(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
