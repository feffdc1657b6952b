"""Which stretch of time a poll of CloudWatch metrics reads: pure arithmetic on a position.

now ───────────────────────────────────────────────┐
delay: points that are not final          ├────────┤
new periods, read first         ├─────────┤
read once more        ├─────────┤
"""

from typing import ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from sources.apis.poll import Position
from sources.apis.window import Lateness, ReachRule, Window

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

LOOK = 6 * HOUR
"""From one reading of metrics that come late to the next."""

RECENT = 3 * HOUR
"""How far back ListMetrics' RecentlyActive reaches; points of less than a minute are kept as long."""

_LONGEST_PERIODS = 720
"""New periods per window; with as many read once more it is what GetMetricStatistics gives at once."""

_MOST_POINTS = 200_000
"""Points of a region whose digests are kept: a reach is as short as that needs, of one period at least."""


class MetricsPosition(Position, frozen=True, kw_only=True):
    """Where a region stands; times in epoch ms, all multiples of the period.

    period: seconds of one point. first: of the first point wanted. done: end of the last whole window.
    start: where the next one begins (before `done`: read once more). seen: digest of a point → its time.
    listed: when metrics were listed last. known: ids of those. looked: when metrics that come late were read
    last. slow: what `seen` is, for those. late: how late points are. Within a window also window, and `more`:
    what `seen` is, for each of its pages.
    """

    VERSION: ClassVar[int] = 2

    period: int
    first: int = field(name="from")
    done: int
    start: int
    seen: dict[str, int]
    listed: int = 0
    looked: int = 0
    slow: dict[str, int] = field(default_factory=dict)
    late: Lateness = Lateness()
    known: list[str] = field(default_factory=list)
    window: Window | None = None
    more: list[dict[str, int]] = field(default_factory=list)


class MetricWindows(Struct, frozen=True):
    """How windows of a region follow each other. period, delay: seconds."""

    period: int
    delay: int
    rule: ReachRule

    @property
    def ms(self) -> int:
        """A period in milliseconds."""
        return self.period * 1000

    def begin(self, at: int, now: int) -> MetricsPosition:
        """Return the position of a region that wants every point from a moment on."""
        first = at // self.ms * self.ms
        return MetricsPosition(period=self.period, first=first, done=first, start=first, seen={}, looked=now)

    def aligned(self, at: MetricsPosition) -> MetricsPosition:
        """Return a position; one of another period goes on from a whole one of this period."""
        if at.period == self.period:
            return at
        done = at.done // self.ms * self.ms
        return replace(at, period=self.period, done=done, start=done, seen={}, window=None, more=[])

    def last_end(self, now: int) -> int:
        """Return the end of the last period that is old enough."""
        return (now - self.delay * 1000) // self.ms * self.ms

    def next(self, at: MetricsPosition, now: int) -> Window | None:
        """Return the window after a position; None while everything later is too fresh."""
        end = min(self.last_end(now), at.done + _LONGEST_PERIODS * self.ms)
        return Window(at.start, end) if end > at.done else None

    def late_start(self, reach: int, now: int) -> int:
        """Return where the window of metrics begins that come up to `reach` seconds late."""
        return (now - (self.delay + reach) * 1000 - LOOK) // self.ms * self.ms

    def following(self, at: MetricsPosition, window: Window, now: int, metrics: int) -> int:
        """Return where the window after this one begins: what may still come or change is read once more."""
        far = (now - self.delay * 1000 - self.rule.of(at.late)) // self.ms * self.ms
        near = window.end - max(1, _MOST_POINTS // max(metrics, 1)) * self.ms
        return max(at.start, min(window.end, max(far, near)))

    def lateness(self, at: MetricsPosition, ms: int, now: int) -> int:
        """Return how late a point is that was not there when its time was read, at most, in ms."""
        known = min(now, at.done + (self.delay + self.period) * 1000)
        return max(0, known - ms - self.ms) if ms < at.done else 0

    def new_since(self, at: MetricsPosition, listed_late: int) -> int:
        """Return where metrics begin that were not in the listing before, which may have missed them."""
        since = (at.listed - listed_late - self.delay * 1000) // self.ms * self.ms
        return max(since, at.first)


def kept(period: int) -> int:
    """Return for how many ms CloudWatch keeps points of a period (seconds)."""
    if period < 60:  # noqa: PLR2004 - seconds of a minute
        return RECENT
    if period % 300:
        return 15 * DAY
    return 63 * DAY if period % 3600 else 455 * DAY
