"""GetMetricData in full batches, and what its replies mean: pure, no call is made here.

A request may hold 500 queries and bring 100,800 points. Five queries (statistics) make one metric's point, so
a batch is 100 metrics, or fewer when the window has more than 201 periods.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from sources.apis.window import Window, to_ms

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
QUERIES, POINTS = 500, 100_800

Values = tuple[float | None, ...]
"""One value per statistic, in the order of `STATISTICS`; None where the reply had none."""

_EVENT_KEYS = ("sampleCount", "average", "sum", "minimum", "maximum")


class Metric(NamedTuple):
    """A metric's identity; dimensions sorted by name."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """The statistics of one metric in one period that begins at `ms`; unit: "" = not told."""

    metric: Metric
    ms: int
    values: Values
    unit: str = ""

    @property
    def whole(self) -> bool:
        """Tell whether no statistic is missing."""
        return None not in self.values


class Batch(Struct, frozen=True):
    """The metrics of one request, and their window."""

    metrics: tuple[Metric, ...]
    window: Window


class MetricAnswer(Struct, frozen=True):
    """What a batch brought. open: metrics without a complete answer; forbidden: that may not be read."""

    points: tuple[Point, ...]
    open: tuple[Metric, ...]
    forbidden: tuple[Metric, ...]


def metric_of(listed: Mapping[str, Any]) -> Metric:
    """Return the identity of a metric as ListMetrics gives it."""
    dimensions = sorted((one["Name"], one["Value"]) for one in listed.get("Dimensions") or ())
    return Metric(listed["Namespace"], listed["MetricName"], tuple(dimensions))


def dimensions_of(metric: Metric) -> list[dict[str, str]]:
    """Return a metric's dimensions in the API's form."""
    return [{"Name": name, "Value": value} for name, value in metric.dimensions]


def batches(metrics: Sequence[Metric], window: Window, period: int) -> Iterator[Batch]:
    """Yield the fewest requests for the metrics' points in a window; period in seconds."""
    periods = -(-(window.end - window.start) // (period * 1000))
    size = max(1, min(QUERIES, POINTS // periods) // len(STATISTICS))
    for begin in range(0, len(metrics), size):
        yield Batch(tuple(metrics[begin : begin + size]), window)


def queries(batch: Batch, period: int) -> list[dict[str, Any]]:
    """Return the `MetricDataQueries` of a batch; ids tell metric and statistic by number."""
    return [
        {
            "Id": f"m{number}_{at}",
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": dimensions_of(metric),
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        for number, metric in enumerate(batch.metrics)
        for at, statistic in enumerate(STATISTICS)
    ]


def answer(batch: Batch, results: Iterable[Mapping[str, Any]]) -> MetricAnswer:
    """Join the results of all pages of a batch to points, by metric and time.

    A metric of which any statistic is missing, or ends with another status than Complete, is open: its
    points do not count yet.
    """
    values: dict[str, dict[int, float]] = {}
    status: dict[str, str] = {}
    for result in results:
        status[result["Id"]] = result.get("StatusCode", "")
        stamps = (to_ms(moment) for moment in result["Timestamps"])
        values.setdefault(result["Id"], {}).update(zip(stamps, result["Values"], strict=True))
    points: list[Point] = []
    undone, forbidden = [], []
    for number, metric in enumerate(batch.metrics):
        ids = [f"m{number}_{at}" for at in range(len(STATISTICS))]
        told = {status.get(one, "") for one in ids}
        if told == {"Complete"}:
            points += _points(metric, [values[one] for one in ids])
        elif "Forbidden" in told:
            forbidden.append(metric)
        else:
            undone.append(metric)
    return MetricAnswer(tuple(points), tuple(undone), tuple(forbidden))


def _points(metric: Metric, columns: Sequence[Mapping[int, float]]) -> Iterator[Point]:
    for ms in sorted({ms for column in columns for ms in column}):
        yield Point(metric, ms, tuple(column.get(ms) for column in columns))


def points_of(metric: Metric, datapoints: Iterable[Mapping[str, Any]]) -> Iterator[Point]:
    """Yield the points of a GetMetricStatistics reply, oldest first; one per unit and period."""
    for one in sorted(datapoints, key=lambda one: (one["Timestamp"], one.get("Unit", ""))):
        values = tuple(one.get(statistic) for statistic in STATISTICS)
        yield Point(metric, to_ms(one["Timestamp"]), values, one.get("Unit", ""))


def event(point: Point, period: int, account: str, region: str, moment: str) -> dict[str, Any]:
    """Return a point as it goes to Devo; moment: its time in ISO 8601. unit is null when unknown."""
    metric = point.metric
    return {
        "namespace": metric.namespace,
        "metricName": metric.name,
        "dimensions": dict(metric.dimensions),
        "period": period,
        "timestamp": moment,
        **dict(zip(_EVENT_KEYS, point.values, strict=True)),
        "unit": point.unit or None,
        "account": account,
        "region": region,
    }
