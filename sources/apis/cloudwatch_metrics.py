"""CloudWatch metrics: one event per metric and period with all five statistics.

Parallel unit: a region. Guarantee: at least once, for every point that can be read by the second reading of
its period; a point that has changed by then comes once more, one that has not does not. Resume: the window
at hand is read anew, without what was emitted of it. Cost: one GetMetricData per 100 metrics and poll
(about 0.01 $ per thousand metrics), one ListMetrics per 500 metrics and hour.

    metric_windows.py    which stretch of time a poll reads
    metric_listing.py    which metrics there are
    metric_points.py     their points; metric_data.py what the replies mean

The second reading rides in the requests of the first one: a window of two periods costs the same calls as
one of one. Windows are half-open and aligned to the period, as GetMetricData has it. While history is caught
up nothing is read twice. What changed is told by a digest of each point's values in the state.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from sources import telemetry
from sources.apis.cloudwatch import Api, blocks, fingerprint, line
from sources.apis.metric_data import Batch, Point, batches, event
from sources.apis.metric_listing import (
    LISTED_LATE,
    MetricFilter,
    MetricListing,
    MetricListings,
    MetricsClient,
)
from sources.apis.metric_points import MetricPoints
from sources.apis.metric_windows import MetricsPosition, MetricWindows, kept
from sources.apis.poll import Page, State, Target, restored, stored
from sources.apis.window import Seen, Window, now_ms, to_datetime
from sources.aws.account import Account
from sources.aws.limiter import Limiters
from transforms.block import Item, Origin

RATES = {"GetMetricData": 50.0, "ListMetrics": 25.0, "GetMetricStatistics": 400.0}
"""Requests a second that AWS allows one account in one region by default, whoever asks."""


class MetricsOptions(Struct, frozen=True):
    """What the service may choose. start: epoch ms of the first period wanted, None = from now on.

    namespaces, names, dimensions: see `metric_listing.MetricFilter`.
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
        api: Api[MetricsClient] = Api(account, "cloudwatch", limiters, drain)
        chosen = MetricFilter(options.namespaces, options.names, options.dimensions)
        self._windows = MetricWindows(options.period, options.delay_seconds)
        self._points = MetricPoints(api, self.name, options.period)
        self._listings = MetricListings(api, chosen, int(options.list_seconds * 1000), self._points.allow)
        self._told: set[str] = set()

    def targets(self) -> Iterable[Target]:
        """Return the regions; only the account's number may be asked for."""
        account = self._account.account_id
        return [Target(region, account, region) for region in self._options.regions]

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Read the window at hand, or the next one."""
        now = self._clock()
        found = restored(MetricsPosition, state, f"{self.name} {target.key}")
        at = self._windows.aligned(found) if found else self._begin(target, now)
        window = at.window or self._windows.next(at, now)
        if window is None:
            if not state:
                yield Page((), stored(at))
            return
        listing = self._listings.of(target, window, now, self._windows.ms)
        seen = Seen({key: ms for ids in (at.seen, *at.more) for key, ms in ids.items()})
        within, repeats = replace(at, window=window), 0
        for points in self._points.of(target, self._batches(listing, window, at)):
            # half a point is one that is being written: the second reading finds it whole
            whole = [point for point in points if point.whole or point.ms < at.done]
            fresh = {key: point for point in whole if seen.add(key := _digest(point), point.ms)}
            repeats += len(whole) - len(fresh)
            if fresh:
                within = replace(within, more=[*within.more, {key: one.ms for key, one in fresh.items()}])
                yield Page(tuple(self._items(target, fresh.values())), stored(within))
        start = self._windows.following(at, window, now)
        after = MetricsPosition(
            period=at.period,
            first=at.first,
            done=window.end,
            start=start,
            seen=seen.since(start),
            listed=listing.at,
            known=list(listing.ids),
        )
        again = window.end < self._windows.last_end(now)
        yield Page((), stored(after), again, window.end, repeats)

    def _begin(self, target: Target, now: int) -> MetricsPosition:
        """Return the position of a region that was never polled, as far back as points are kept."""
        asked = now if self._options.start is None else self._options.start
        oldest = now - kept(self._options.period)
        if asked < oldest and target.key not in self._told:
            self._told.add(target.key)
            reason = f"points of {self._options.period} s are not kept longer"
            used = to_datetime(oldest).isoformat()
            telemetry.start_clamped(self.name, target.key, to_datetime(asked).isoformat(), used, reason)
        return self._windows.begin(max(asked, oldest))

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
    """Return what tells a point from another one and from its own revision."""
    return fingerprint(*point.metric, point.ms, *point.values)


def _iso(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
