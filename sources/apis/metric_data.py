"""GetMetricData in full batches, and what its replies mean: pure, no call is made here.

A request may hold 500 queries and bring 100,800 points. Five queries (statistics) make one metric's point, so
a batch is 100 metrics, or fewer when the window has more than 201 periods.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from msgspec import Struct

from sources.apis.window import Window, to_ms

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
QUERIES, POINTS = 500, 100_800

Values = tuple[float | None, ...]
"""One value per statistic, in the order of `STATISTICS`; None where the reply had none."""

_EVENT_KEYS = ("sampleCount", "average", "sum", "minimum", "maximum")


class Metric(NamedTuple):
    """A metric's identity; dimensions sorted by name. account: that owns it, "" = the one that is asked."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    account: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What ids are made of."""
        return self if self.account else self[:3]


class Point(NamedTuple):
    """The statistics of one metric in one period that begins at `ms`; unit: "" = unknown.

    split: it is of one unit among several.
    """

    metric: Metric
    ms: int
    values: Values
    unit: str = ""
    split: bool = False

    @property
    def whole(self) -> bool:
        """Tell whether no statistic is missing."""
        return None not in self.values


class Batch(Struct, frozen=True):
    """The metrics of one request, and their window."""

    metrics: tuple[Metric, ...]
    window: Window


class MetricAnswer(Struct, frozen=True):
    """What a batch brought. open: metrics without a complete answer; forbidden: that may not be read.

    mixed: metrics of several units, of which an answer holds but one.
    """

    points: tuple[Point, ...]
    open: tuple[Metric, ...] = ()
    forbidden: tuple[Metric, ...] = ()
    mixed: tuple[Metric, ...] = ()


def metric_of(listed: Mapping[str, Any], account: str = "") -> Metric:
    """Return the identity of a metric as ListMetrics gives it."""
    dimensions = sorted((one["Name"], one["Value"]) for one in listed.get("Dimensions") or ())
    return Metric(listed["Namespace"], listed["MetricName"], tuple(dimensions), account)


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
            **({"AccountId": metric.account} if metric.account else {}),
        }
        for number, metric in enumerate(batch.metrics)
        for at, statistic in enumerate(STATISTICS)
    ]


def answer(batch: Batch, results: Iterable[Mapping[str, Any]]) -> MetricAnswer:
    """Join the results of all pages of a batch to points, by metric and time.

    A metric of which any statistic is missing, or ends with another status than Complete, is open: its
    points do not count yet. Those of a metric of several units do not count at all.
    """
    values: dict[str, dict[int, float]] = {}
    status: dict[str, str] = {}
    several: set[str] = set()
    for result in results:
        stamps, found = result.get("Timestamps") or (), result.get("Values") or ()
        status[result["Id"]] = result.get("StatusCode", "") if len(stamps) == len(found) else ""
        if any(one.get("Code") == "MultipleUnits" for one in result.get("Messages") or ()):
            several.add(result["Id"])
        values.setdefault(result["Id"], {}).update(zip(map(to_ms, stamps), found, strict=False))
    points: list[Point] = []
    undone, forbidden, mixed = [], [], []
    for number, metric in enumerate(batch.metrics):
        ids = [f"m{number}_{at}" for at in range(len(STATISTICS))]
        told = {status.get(one, "") for one in ids}
        if several.intersection(ids):
            mixed.append(metric)
        elif told == {"Complete"}:
            points += _points(metric, [values[one] for one in ids])
        elif "Forbidden" in told:
            forbidden.append(metric)
        else:
            undone.append(metric)
    return MetricAnswer(tuple(points), tuple(undone), tuple(forbidden), tuple(mixed))


def joined(answers: Iterable[MetricAnswer]) -> MetricAnswer:
    """Return several answers as one."""
    parts = [(one.points, one.open, one.forbidden, one.mixed) for one in answers]
    return MetricAnswer(*(tuple(chain.from_iterable(column)) for column in zip(*parts, strict=True)))


def _points(metric: Metric, columns: Sequence[Mapping[int, float]]) -> Iterator[Point]:
    for ms in sorted({ms for column in columns for ms in column}):
        yield Point(metric, ms, tuple(column.get(ms) for column in columns))


def points_of(
    metric: Metric, datapoints: Iterable[Mapping[str, Any]], *, split: bool = False
) -> Iterator[Point]:
    """Yield the points of a GetMetricStatistics reply, oldest first; one per unit and period."""
    ordered = sorted(datapoints, key=lambda one: (one["Timestamp"], one.get("Unit", "")))
    units = Counter(one["Timestamp"] for one in ordered)
    for one in ordered:
        values = tuple(one.get(statistic) for statistic in STATISTICS)
        yield Point(
            metric, to_ms(one["Timestamp"]), values, one.get("Unit", ""), split or units[one["Timestamp"]] > 1
        )


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
        "account": metric.account or account,
        "region": region,
    }
