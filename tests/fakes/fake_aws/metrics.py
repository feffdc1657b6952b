"""CloudWatch metrics as AWS serves them: aligned periods, late and revised points, pages, per-result status.

moto's GetMetricData and ListMetrics do not page as AWS does, so store and reading are replaced as a whole.
"""

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from msgspec import Struct, field

from tests.fakes.fake_aws.core import (
    ACCOUNT,
    CLOCK,
    LOCK,
    PLAN,
    REGION,
    Request,
    epoch_seconds,
    install,
    make_token,
    page_of,
    read_token,
    refuse,
    signature,
    state,
)

_QUERIES, _POINTS, _STATISTICS_POINTS = 500, 100_800, 1_440
_RECENT_SECONDS = 3 * 3600
_ID = re.compile(r"^[a-z][a-zA-Z0-9_]*$")
_BAD = "InvalidParameterValueException"

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, sorted dimensions."""


class MetricSample(Struct, frozen=True, order=True):
    """A statistic set that somebody published for a moment (epoch seconds); shown from `visible` on."""

    at: float
    visible: float
    count: float
    total: float
    low: float
    high: float
    unit: str = "None"


class _Series(Struct):
    """The samples of one metric, by time. listed: from when on ListMetrics knows it."""

    listed: float
    samples: list[MetricSample] = field(default_factory=list)

    def buckets(
        self, start: float, end: float, period: int, unit: str = ""
    ) -> Iterator[tuple[int, list[MetricSample]]]:
        """Yield each period of start ≤ time < end that has visible samples, by its start."""
        now = CLOCK.now()
        first = bisect_left(self.samples, start, key=lambda sample: sample.at)
        last = bisect_left(self.samples, end, key=lambda sample: sample.at)
        shown = [one for one in self.samples[first:last] if one.visible <= now and unit in {"", one.unit}]
        for at, group in groupby(shown, key=lambda sample: int(sample.at // period) * period):
            yield at, list(group)


_STATISTICS: dict[str, Callable[[Sequence[MetricSample]], float]] = {
    "SampleCount": lambda samples: sum(one.count for one in samples),
    "Sum": lambda samples: sum(one.total for one in samples),
    "Minimum": lambda samples: min(one.low for one in samples),
    "Maximum": lambda samples: max(one.high for one in samples),
    "Average": lambda samples: sum(one.total for one in samples) / sum(one.count for one in samples),
}


def put_metric_samples(
    namespace: str,
    name: str,
    samples: Iterable[Mapping[str, Any]],
    dimensions: Mapping[str, str] | None = None,
    account: str = ACCOUNT,
    region: str = REGION,
    listed_late_s: float = 0,
) -> None:
    """Add samples to a metric; two in one period are aggregated, so a later one revises the point.

    timestamp: epoch seconds. value, or count, sum, minimum and maximum. unit. late_s: shown that much after
    now. listed_late_s: how long after now ListMetrics first shows a new metric (AWS: up to 15 minutes).
    """
    key = (namespace, name, tuple(sorted((dimensions or {}).items())))
    with LOCK:
        series = _store(account, region).setdefault(key, _Series(CLOCK.now() + listed_late_s))
        for sample in samples:
            insort(series.samples, _sample(sample))


def _sample(given: Mapping[str, Any]) -> MetricSample:
    value = given.get("value", 0)
    return MetricSample(
        given["timestamp"],
        CLOCK.now() + given.get("late_s", 0),
        given.get("count", 1),
        given.get("sum", value),
        given.get("minimum", value),
        given.get("maximum", value),
        given.get("unit", "None"),
    )


def put_metric_data(request: Request) -> dict[str, Any]:
    """Take published data in any of the three forms."""
    for datum in request.params["MetricData"]:
        at = epoch_seconds(datum.get("Timestamp", CLOCK.now()))
        sets = datum.get("StatisticValues")
        if sets:
            forms = [{"count": sets["SampleCount"], "sum": sets["Sum"]}]
            forms[0].update(minimum=sets["Minimum"], maximum=sets["Maximum"])
        else:
            values = datum.get("Values") or [datum.get("Value", 0)]
            counts = datum.get("Counts") or [1] * len(values)
            pairs = zip(values, counts, strict=True)
            forms = [{"value": value, "count": count, "sum": value * count} for value, count in pairs]
        unit = datum.get("Unit") or "None"
        samples = [{**form, "timestamp": at, "unit": unit} for form in forms]
        names = {one["Name"]: one["Value"] for one in datum.get("Dimensions") or []}
        put_metric_samples(
            request.params["Namespace"], datum["MetricName"], samples, names, request.account, request.region
        )
    return {}


def list_metrics(request: Request) -> dict[str, Any]:
    """Serve one page of up to 500 metrics."""
    recent = request.get("RecentlyActive")
    if recent not in {None, "PT3H"}:
        raise refuse(_BAD, "The only valid value of RecentlyActive is PT3H.")
    now = CLOCK.now()
    found = [
        {
            "Namespace": key[0],
            "MetricName": key[1],
            "Dimensions": [{"Name": n, "Value": v} for n, v in key[2]],
        }
        for key, series in sorted(_store(request.account, request.region).items())
        if series.listed <= now
        and (
            not recent
            or any(one.at >= now - _RECENT_SECONDS and one.visible <= now for one in series.samples)
        )
        and _selected(request, key)
    ]
    bound = signature(request, "Namespace", "MetricName", "Dimensions", "RecentlyActive")
    page, following = page_of("ListMetrics", found, 500, request.get("NextToken"), bound, _BAD)
    return {"Metrics": page, **({"NextToken": following} if following else {})}


def _selected(request: Request, key: Key) -> bool:
    namespace, name, dimensions = key
    filters = request.get("Dimensions", [])
    return (
        request.get("Namespace") in {None, namespace}
        and request.get("MetricName") in {None, name}
        and all(
            any(one["Name"] == n and one.get("Value") in {None, v} for n, v in dimensions) for one in filters
        )
    )


def get_metric_data(request: Request) -> dict[str, Any]:
    """Serve one page of at most 100,800 points of at most 500 queries."""
    queries = request.params["MetricDataQueries"]
    start, end = _window(request)
    _check_queries(queries)
    bound = signature(request, "MetricDataQueries", "StartTime", "EndTime", "ScanBy")
    token = request.get("NextToken")
    skip = read_token(token, bound, "InvalidNextToken") if token else 0
    most = PLAN.page("GetMetricData", min(request.get("MaxDatapoints", _POINTS), _POINTS))
    if most is None:
        return {"MetricDataResults": [], "NextToken": make_token(skip, bound)}
    newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    results, passed = [], 0
    for query in queries:
        status, rows = _rows(request, query, start, end)
        rows = rows[::-1] if newest_first else rows
        mine = rows[max(skip - passed, 0) : max(skip + most - passed, 0)]
        cut = passed + len(rows) > skip + most
        passed += len(rows)
        if not token or mine or (cut and len(rows) > 0):
            results.append(_result(query, mine, "PartialData" if cut else status))
    following = {"NextToken": make_token(skip + most, bound)} if passed > skip + most else {}
    return {"MetricDataResults": results, **following}


def _rows(
    request: Request, query: Mapping[str, Any], start: float, end: float
) -> tuple[str, list[tuple[int, float]]]:
    """Return status and points of one query, oldest first; a planned status is used up."""
    stat = query["MetricStat"]
    key = _key(stat["Metric"])
    planned = PLAN.statuses.get(key[1])
    status = planned.pop(0) if planned else "Complete"
    series = _store(request.account, request.region).get(key)
    if series is None or status in {"InternalError", "Forbidden"}:
        return status, []
    statistic = _STATISTICS[stat["Stat"]]
    buckets = series.buckets(start, end, stat["Period"], stat.get("Unit") or "")
    rows = [(at, float(statistic(samples))) for at, samples in buckets]
    return status, rows[: len(rows) // 2] if status == "PartialData" else rows


def _result(query: Mapping[str, Any], rows: Sequence[tuple[int, float]], status: str) -> dict[str, Any]:
    return {
        "Id": query["Id"],
        "Label": query["MetricStat"]["Metric"]["MetricName"],
        "Timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in rows],
        "Values": [value for _, value in rows],
        "StatusCode": status,
    }


def _check_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    ids = [query["Id"] for query in queries]
    if len(ids) > _QUERIES:
        raise refuse(
            "ValidationError", "The collection MetricDataQueries must not have a size greater than 500."
        )
    if len(set(ids)) < len(ids) or not all(_ID.match(one) for one in ids):
        raise refuse("ValidationError", "The values of parameter Id in MetricDataQueries are not valid.")
    if any(query["MetricStat"]["Period"] % 60 for query in queries):
        raise refuse("ValidationError", "Period must be a multiple of 60.")


def get_metric_statistics(request: Request) -> dict[str, Any]:
    """Serve all points of one metric, each with its unit, in no order; 1,440 at most."""
    start, end = _window(request)
    period = request.params["Period"]
    if (end - start) / period > _STATISTICS_POINTS:
        raise refuse(
            "InvalidParameterCombination", "You have requested more than the limit of 1,440 datapoints."
        )
    series = _store(request.account, request.region).get(_key(request.params))
    points = [
        {
            "Timestamp": datetime.fromtimestamp(at, UTC),
            **{name: float(_STATISTICS[name](samples)) for name in request.params["Statistics"]},
            "Unit": samples[0].unit,
        }
        for at, samples in (series.buckets(start, end, period) if series else ())
    ]
    return {"Label": request.params["MetricName"], "Datapoints": points[::-1]}


def _window(request: Request) -> tuple[float, float]:
    start, end = epoch_seconds(request.params["StartTime"]), epoch_seconds(request.params["EndTime"])
    if start >= end:
        raise refuse("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def _key(metric: Mapping[str, Any]) -> Key:
    dimensions = tuple(sorted((one["Name"], one["Value"]) for one in metric.get("Dimensions") or []))
    return metric["Namespace"], metric["MetricName"], dimensions


def _store(account: str, region: str) -> dict[Key, _Series]:
    return state("metrics", account, region, dict[Key, _Series])


def extend() -> None:
    """Install the extension in moto."""
    from moto.cloudwatch.responses import CloudWatchResponse  # noqa: PLC0415 - moto is slow to import

    install(
        CloudWatchResponse,
        "cloudwatch",
        put_metric_data,
        list_metrics,
        get_metric_data,
        get_metric_statistics,
    )
