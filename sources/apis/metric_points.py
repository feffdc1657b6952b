"""The points of metrics, asked for in full batches; what a batch cannot answer is asked for otherwise.

GetMetricData cannot           then
    answer a metric (Internal-     once more in a batch of all such; still not: GetMetricStatistics, one call
    Error, partial, left out)      per metric
    be called at all (denied)      GetMetricStatistics for all, until the next listing
    read a metric (Forbidden)      it is told and left out
    tell units                     `unit` is null, unless GetMetricStatistics was asked and told it: one call
                                   per metric only for its unit would be a hundred times the calls
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sources import telemetry
from sources.apis.cloudwatch import Api, Operation
from sources.apis.metric_data import (
    STATISTICS,
    Batch,
    Metric,
    MetricAnswer,
    Point,
    answer,
    batches,
    dimensions_of,
    points_of,
    queries,
)
from sources.apis.metric_listing import MetricsClient
from sources.apis.poll import Target
from sources.apis.window import Window, to_datetime
from sources.errors import BadCredentials, Denied

_DATA: Operation[MetricsClient] = Operation(
    "GetMetricData", "MetricDataResults", lambda client: client.get_metric_data
)
_STATISTICS: Operation[MetricsClient] = Operation(
    "GetMetricStatistics", "Datapoints", lambda client: client.get_metric_statistics
)


class MetricPoints:
    """Asks for points of one period (seconds). service: for messages."""

    def __init__(self, api: Api[MetricsClient], service: str, period: int) -> None:
        self._api, self._service, self._period = api, service, period
        self._denied: set[str] = set()
        self._told: set[str] = set()

    def allow(self, key: str) -> None:
        """Try GetMetricData again for a target."""
        self._denied.discard(key)

    def of(self, target: Target, asked: Iterable[Batch]) -> Iterator[Sequence[Point]]:
        """Yield the points of each batch; metrics without an answer are asked for again at the end."""
        undone: dict[Window, list[Metric]] = {}
        for batch in asked:
            found = self._answer(target, batch)
            yield found.points
            undone.setdefault(batch.window, []).extend(found.open)
        for window, metrics in undone.items():
            for batch in batches(metrics, window, self._period):
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
                telemetry.metric_data_denied(self._service, target.key, error)
        points = [p for metric in batch.metrics for p in self._statistics(target, metric, batch.window)]
        return MetricAnswer(tuple(points), (), ())

    def _data(self, target: Target, batch: Batch) -> MetricAnswer:
        asked: dict[str, Any] = {
            "MetricDataQueries": queries(batch, self._period),
            "StartTime": to_datetime(batch.window.start),
            "EndTime": to_datetime(batch.window.end),
            "ScanBy": "TimestampAscending",
        }
        replies = self._api.pages(target.region, _DATA, target.key, "NextToken", **asked)
        found = answer(batch, (result for reply in replies for result in reply["MetricDataResults"]))
        for metric in found.forbidden:
            self._tell_forbidden(target, metric)
        return found

    def _statistics(self, target: Target, metric: Metric, window: Window) -> list[Point]:
        reply = self._api.ask(
            target.region,
            _STATISTICS,
            f"{metric.namespace} {metric.name} in {target.region}",
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=dimensions_of(metric),
            StartTime=to_datetime(window.start),
            EndTime=to_datetime(window.end),
            Period=self._period,
            Statistics=list(STATISTICS),
        )
        return list(points_of(metric, reply["Datapoints"]))

    def _tell_forbidden(self, target: Target, metric: Metric) -> None:
        key = f"{target.key} {metric.namespace} {metric.name}"
        if key not in self._told:
            self._told.add(key)
            telemetry.target_unreadable(self._service, key, "GetMetricData says Forbidden")
