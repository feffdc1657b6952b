"""CloudWatch metrics: one event per metric and period with all five statistics.

Parallel unit: a region. Guarantee: at least once, for every point that can be read within the reach after its
period: half an hour by default, by itself more where points come later, two days where they come once a day
(`LATE_NAMESPACES`). A point that has changed by then comes once more, one that has not does not. Resume: the
window at hand is read anew, without what was emitted of it. Cost: one GetMetricData per 100 metrics and poll
(about 0.01 $ per thousand metrics), one ListMetrics per 500 metrics and hour.

    metric_windows.py    which stretch of time a poll reads
    metric_listing.py    which metrics there are
    metric_points.py     their points; metric_data.py what the replies mean

Reading what may still change rides in the requests for what is new: up to 201 periods cost the same calls as
one. Windows are half-open and aligned to the period, as GetMetricData has it. While history is caught up
nothing is read twice. What changed is told by a digest of each point's values in the state.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from msgspec import Struct, field
from msgspec.structs import replace

from sources.apis.api import Api, Forgotten, blocks, fingerprint, line
from sources.apis.metric_data import Batch, Point, batches, event
from sources.apis.metric_listing import (
    LATE_NAMESPACES,
    LISTED_LATE,
    MetricFilter,
    MetricListing,
    MetricListings,
    MetricsClient,
)
from sources.apis.metric_points import MetricPoints
from sources.apis.metric_windows import DAY, LOOK, MetricsPosition, MetricWindows, kept
from sources.apis.poll import Page, State, Target, restored, stored
from sources.apis.window import ReachRule, Seen, Window, late_events, now_ms, to_datetime
from sources.aws.account import Account
from sources.aws.limiter import Limiters
from transforms.block import Item, Origin

RATES = {"GetMetricData": 50.0, "ListMetrics": 25.0, "GetMetricStatistics": 400.0}
"""Requests a second of an account in a region, whoever asks ("CloudWatch service quotas"). GetMetricData has
500 now, but 180,000 points a second too: that is some 50 requests of a usual poll."""

_MINUTE = 60
_SLOW_KEPT = 32 * DAY
"""How long digests of points that come late are kept: one a day of each metric."""


class MetricsOptions(Struct, frozen=True):
    """What the service may choose. start: epoch ms of the first period wanted, None = from now on.

    namespaces, names, dimensions, late_namespaces, linked: see `metric_listing.MetricFilter`.
    period: seconds of one point. delay_seconds: age below which a point is not asked for. reach and
    max_reach: how long after that a point may come or change, at least and at most.
    period_seconds: from one poll to the next. list_seconds: between listings.
    """

    regions: tuple[str, ...]
    start: int | None = None
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)
    period: int = 300
    delay_seconds: int = 180
    reach_seconds: int = 1800
    max_reach_seconds: int = 10_800
    late_namespaces: Mapping[str, int] = field(default_factory=lambda: LATE_NAMESPACES)
    linked: bool = False
    period_seconds: float = 300
    list_seconds: float = 3600
    service: str = "metrics"


class CloudWatchMetrics:
    """The `Poll` of CloudWatch metrics: one poll reads one window of one region. State: `MetricsPosition`."""

    def __init__(
        self,
        account: Account,
        options: MetricsOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._account, self._options, self._clock = account, options, clock
        api = self._api = Api[MetricsClient](account, "cloudwatch", limiters, drain, clock)
        chosen = MetricFilter(
            options.namespaces, options.names, options.dimensions, options.late_namespaces, options.linked
        )
        least = options.reach_seconds * 1000
        rule = ReachRule(least, max(least, options.max_reach_seconds * 1000))
        self._windows = MetricWindows(options.period, options.delay_seconds, rule)
        self._chosen = chosen
        self._points = MetricPoints(api, self.name, options.period)
        self._listings = MetricListings(api, chosen, int(options.list_seconds * 1000), self._points.allow)
        self._forgotten = Forgotten(self.name)

    def targets(self) -> Iterable[Target]:
        """Return the regions; nothing but the account is asked for."""
        account = self._account.account_id
        return [Target(region, account, region) for region in self._options.regions]

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the window at hand, or the next one."""
        asked_at, windows = self._clock(), self._windows
        if not state and self._options.start is None and not self._api.told:
            self._listings.of(target, Window(asked_at, asked_at), asked_at, windows.ms)
        now = self._api.by_aws(asked_at)  # "from now on" is meant by AWS's clock
        found = restored(MetricsPosition, state, f"{self.name} {target.key}")
        at = self._resumed(target, found, now) if found else self._begin(target, now)
        window = at.window or windows.next(at, now)
        if window is None:
            if not state:
                yield Page((), stored(at))
            return
        listing = self._listings.of(target, window, asked_at, windows.ms)
        known = set(at.known)
        old = {metric for key, metric in zip(listing.ids, listing.metrics, strict=True) if key in known}
        seen = Seen({key: ms for ids in (at.seen, at.slow, *at.more) for key, ms in ids.items()})
        within, repeats, reach = replace(at, window=window), 0, windows.rule.of(at.late)
        due = now - at.looked >= LOOK and windows.period >= _MINUTE  # shorter ones are kept for hours only
        late = self._late_batches(target, window.end, now) if due else ()
        for points in self._points.of(target, chain(self._batches(listing, window, at), late)):
            # half a point is one that is being written: a later reading finds it whole
            whole = [point for point in points if point.whole or point.ms < at.done]
            fresh = {key: point for point in whole if seen.add(key := _digest(point), point.ms)}
            repeats += len(whole) - len(fresh)
            if fresh:
                lateness = [windows.lateness(at, one.ms, now) for one in fresh.values() if one.metric in old]
                told = late_events(lateness, reach + windows.delay * 1000)
                within = self._with(within, fresh, max(0, told.most - windows.delay * 1000), now)
                ids = {key: one.ms for key, one in fresh.items()}
                yield Page(tuple(self._items(target, fresh.values())), stored(within), late=told, ids=ids)
        now = min(now, self._api.by_aws(asked_at))
        window = Window(window.start, max(at.done, min(window.end, windows.last_end(now))))
        start = windows.following(within, window, now, len(listing.metrics))
        after = MetricsPosition(
            period=at.period,
            first=at.first,
            done=window.end,
            start=start,
            seen=seen.since(start),
            listed=listing.at,
            known=list(listing.ids),
            looked=now if due else at.looked,
            slow={key: ms for key, ms in within.slow.items() if ms >= now - _SLOW_KEPT},
            late=within.late,
        )
        again = window.end < windows.last_end(now)
        yield Page((), stored(after), again, window.end, repeats)

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more, of the metrics that are listed now."""
        period = self._windows.ms
        whole = Window(window.start // period * period, window.end // period * period)
        if whole.end > whole.start:
            at = self._windows.begin(whole.start, self._api.by_aws(self._clock()))
            at = replace(at, done=whole.end, seen=ids, window=whole)
            yield from self.pages(target, stored(at))

    def _with(self, at: MetricsPosition, fresh: Mapping[str, Point], most: int, now: int) -> MetricsPosition:
        """Return a position within a window after new points; most: how late the latest is, in ms."""
        slow = {key: one.ms for key, one in fresh.items() if self._chosen.reach_of(one.metric)}
        ids = {key: one.ms for key, one in fresh.items() if key not in slow}
        late = self._windows.rule.after(at.late, most, now)
        return replace(at, more=[*at.more, ids], slow={**at.slow, **slow}, late=late)

    def _begin(self, target: Target, now: int) -> MetricsPosition:
        """Return the position of a region that was never polled, as far back as points are kept."""
        asked = target.begin(now) if self._options.start is None else self._options.start
        return self._windows.begin(self._kept(target, asked, now), now)

    def _resumed(self, target: Target, at: MetricsPosition, now: int) -> MetricsPosition:
        """Return a position where points are still kept: after a long outage a hole is told, not read."""
        done = self._kept(target, at.done, now)
        if done == at.done or at.window:
            return self._windows.aligned(at)
        begin = self._windows.begin(done, now)
        return replace(self._windows.aligned(at), done=begin.done, start=begin.start)

    def _kept(self, target: Target, asked: int, now: int) -> int:
        """Return from when on points are kept, not before `asked`."""
        period = self._options.period
        reason = f"points of {period} s are not kept longer"
        return self._forgotten.clamped(target.key, asked, now - kept(period), reason)

    def _late_batches(self, target: Target, end: int, now: int) -> Iterator[Batch]:
        """Yield the requests for metrics that come late, as far back as they may."""
        for reach, metrics in self._listings.late(target).items():
            start = self._windows.late_start(reach, now)
            yield from batches(metrics, Window(start, end), self._options.period)

    def _batches(self, listing: MetricListing, window: Window, at: MetricsPosition) -> Iterator[Batch]:
        """Yield the requests of a window: known metrics, and new ones from the listing before on."""
        before, period = set(at.known), self._options.period
        start = self._windows.new_since(at, LISTED_LATE)
        if not at.listed or start >= window.start:
            yield from batches(listing.metrics, window, period)
            return
        pairs = list(zip(listing.ids, listing.metrics, strict=True))
        yield from batches([metric for key, metric in pairs if key in before], window, period)
        new = [metric for key, metric in pairs if key not in before]
        yield from batches(new, Window(start, window.end), period)

    def _items(self, target: Target, points: Iterable[Point]) -> Iterator[Item]:
        origin = Origin(self.name, target.account, target.region, "GetMetricData")
        period = self._options.period
        made = (event(one, period, target.account, target.region, _iso(one.ms)) for one in points)
        yield from blocks(map(line, made), origin)


def _digest(point: Point) -> str:
    """Return what distinguishes a point from others and from its own revision."""
    unit = (point.unit,) if point.split else ()
    return fingerprint(*point.metric.identity, point.ms, *point.values, *unit)


def _iso(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
