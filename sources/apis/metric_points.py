"""The points of metrics, asked for in full batches; what a batch cannot answer is asked for otherwise.

GetMetricData cannot           then
    answer a metric (Internal-     once more in a batch of all such; still not: GetMetricStatistics, one call
    Error, partial, left out)      per metric
    be called at all (denied)      GetMetricStatistics for all, until the next listing
    read a metric (Forbidden)      it is told and left out
    take a request (a metric       the batch is halved until the one is found; it is told, and left out
    that it calls wrong)           until the next listing
    answer several units of a      GetMetricStatistics, one point for each unit
    metric (MultipleUnits)
    tell units                     `unit` is null, unless GetMetricStatistics was asked and told it: one call
                                   per metric only for its unit would be a hundred times the calls
    do all that was asked          what its Messages say is told once; metrics without an answer, as above
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from sources import telemetry
from sources.apis.api import Api, Operation
from sources.apis.metric_data import (
    STATISTICS,
    Batch,
    Metric,
    MetricAnswer,
    Point,
    answer,
    batches,
    dimensions_of,
    joined,
    points_of,
    queries,
)
from sources.apis.metric_listing import MetricsClient
from sources.apis.poll import Target
from sources.apis.window import Window, to_datetime
from sources.errors import BadCredentials, Denied, SourceError

_DATA: Operation[MetricsClient] = Operation(
    "GetMetricData", "MetricDataResults", lambda client: client.get_metric_data
)
_STATISTICS: Operation[MetricsClient] = Operation(
    "GetMetricStatistics", "Datapoints", lambda client: client.get_metric_statistics
)

_WRONG = ("Validation", "InvalidParameter", "MissingParameter", "MissingRequiredParameter", "InvalidFormat")
"""How the codes of a request begin whose parameters AWS refuses."""


class MetricPoints:
    """Asks for points of one period (seconds). service: for messages."""

    def __init__(self, api: Api[MetricsClient], service: str, period: int) -> None:
        self._api, self._service, self._period = api, service, period
        self._denied: set[str] = set()
        self._wrong: dict[str, set[Metric]] = {}
        self._told: set[str] = set()

    def allow(self, key: str) -> None:
        """Try again for a target what was refused."""
        self._denied.discard(key)
        self._wrong.pop(key, None)

    def of(self, target: Target, asked: Iterable[Batch]) -> Iterator[Sequence[Point]]:
        """Yield the points of each batch; metrics without an answer are asked for again at the end."""
        undone: dict[Window, list[Metric]] = {}
        for batch in asked:
            found = self._answer(target, batch)
            yield found.points
            undone.setdefault(batch.window, []).extend(found.open)
            for metric in found.mixed:
                yield self._statistics(target, metric, batch.window, split=True)
        for window, metrics in undone.items():
            for batch in batches(metrics, window, self._period):
                found = self._answer(target, batch)
                yield found.points
                for metric in found.open:
                    yield self._statistics(target, metric, window)
                for metric in found.mixed:
                    yield self._statistics(target, metric, window, split=True)

    def _answer(self, target: Target, batch: Batch) -> MetricAnswer:
        """Ask for a batch by GetMetricData; by GetMetricStatistics where that is denied."""
        wrong = self._wrong.get(target.key, set())
        if wrong.intersection(batch.metrics):
            batch = Batch(tuple(metric for metric in batch.metrics if metric not in wrong), batch.window)
        if not batch.metrics:
            return MetricAnswer(())
        if target.key not in self._denied:
            try:
                return self._without_wrong(target, batch)
            except BadCredentials:
                raise
            except Denied as error:
                self._denied.add(target.key)
                telemetry.metric_data_denied(self._service, target.key, error)
        points = [p for metric in batch.metrics for p in self._statistics(target, metric, batch.window)]
        return MetricAnswer(tuple(points))

    def _without_wrong(self, target: Target, batch: Batch) -> MetricAnswer:
        """Ask for a batch; metrics that AWS calls wrong are told and left out, unless all of several are."""
        wrong: dict[Metric, SourceError] = {}
        found = self._halved(target, batch, wrong)
        if len(wrong) == len(batch.metrics) > 1:  # the request is, and the position stays
            raise wrong[batch.metrics[0]]
        self._wrong.setdefault(target.key, set()).update(wrong)
        for metric, error in wrong.items():
            self._tell(target, metric, str(error))
        return found

    def _halved(self, target: Target, batch: Batch, wrong: dict[Metric, SourceError]) -> MetricAnswer:
        """Ask for a batch; when AWS calls it wrong, for its halves, until one metric is the cause."""
        try:
            return self._data(target, batch)
        except SourceError as error:
            if not _is_of_metrics(error):
                raise
            if len(batch.metrics) == 1:
                wrong[batch.metrics[0]] = error
                return MetricAnswer(())
        middle = len(batch.metrics) // 2
        halves = [batch.metrics[:middle], batch.metrics[middle:]]
        return joined(self._halved(target, Batch(half, batch.window), wrong) for half in halves)

    def _data(self, target: Target, batch: Batch) -> MetricAnswer:
        asked: dict[str, Any] = {
            "MetricDataQueries": queries(batch, self._period),
            "StartTime": to_datetime(batch.window.start),
            "EndTime": to_datetime(batch.window.end),
            "ScanBy": "TimestampAscending",
        }
        results: list[Mapping[str, Any]] = []
        for reply in self._api.pages(target.region, _DATA, target.key, "NextToken", **asked):
            results += reply["MetricDataResults"]
            for message in reply.get("Messages") or ():
                self._say(f"{target.key} {message.get('Code')}", f"GetMetricData says {message.get('Value')}")
        found = answer(batch, results)
        for metric in found.forbidden:
            self._tell(target, metric, "GetMetricData says Forbidden")
        return found

    def _statistics(
        self, target: Target, metric: Metric, window: Window, *, split: bool = False
    ) -> list[Point]:
        if metric.account:
            self._tell(target, metric, "GetMetricStatistics cannot read what another account owns")
            return []
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
        return list(points_of(metric, reply["Datapoints"], split=split))

    def _tell(self, target: Target, metric: Metric, why: str) -> None:
        self._say(f"{target.key} {metric.namespace} {metric.name}", why)

    def _say(self, key: str, why: str) -> None:
        if key not in self._told:
            self._told.add(key)
            telemetry.target_unreadable(self._service, key, why)


def _is_of_metrics(error: SourceError) -> bool:
    """Tell whether AWS refuses what a request says: a page's token or a proxy's refusal is no metric's."""
    said = error.__cause__
    return isinstance(said, ClientError) and said.response["Error"].get("Code", "").startswith(_WRONG)
