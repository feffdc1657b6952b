"""Which metrics a region has, by ListMetrics: refreshed now and then, filtered as far as the API can.

ListMetrics tells new metrics up to 15 minutes and a listing late: a metric that is new in a listing is read
from the last listing before on.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from sources.apis.cloudwatch import Api, Operation, fingerprint
from sources.apis.metric_data import Metric, metric_of
from sources.apis.metric_windows import HOUR, MINUTE, RECENT
from sources.apis.poll import Target
from sources.apis.window import Window

LISTED_LATE = 15 * MINUTE
"""How long a new metric may be missing in ListMetrics."""

Reply = Mapping[str, Any]


class MetricsClient(Protocol):
    """boto3's client of CloudWatch, as far as it is used."""

    def list_metrics(self, **asked: Any) -> Reply:
        """`Metrics`, `NextToken`."""

    def get_metric_data(self, **asked: Any) -> Reply:
        """`MetricDataResults`, `Messages`, `NextToken`."""

    def get_metric_statistics(self, **asked: Any) -> Reply:
        """`Datapoints`."""


_LIST: Operation[MetricsClient] = Operation("ListMetrics", "Metrics", lambda client: client.list_metrics)


class MetricListing(Struct, frozen=True):
    """The metrics of a region at a time (epoch ms). ids: their fingerprints, in the same order."""

    at: int
    metrics: tuple[Metric, ...]
    ids: tuple[str, ...]


class MetricFilter(Struct, frozen=True):
    """namespaces, names: only these, () = all. dimensions: name → value that a metric must have, "" = any."""

    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)

    def requests(self, *, recent: bool) -> Iterator[dict[str, Any]]:
        """Yield the parameters of each listing. recent: only what has had points in the last three hours."""
        asked: dict[str, Any] = {"RecentlyActive": "PT3H"} if recent else {}
        if self.dimensions:
            asked["Dimensions"] = [
                {"Name": name, "Value": value} if value else {"Name": name}
                for name, value in self.dimensions.items()
            ]
        if len(self.names) == 1:
            asked["MetricName"] = self.names[0]
        for namespace in self.namespaces or ("",):
            yield {**asked, "Namespace": namespace} if namespace else asked


class MetricListings:
    """The listings of all regions, each until it is too old. refreshed: called with a region listed anew."""

    def __init__(
        self, api: Api[MetricsClient], chosen: MetricFilter, max_age: int, refreshed: Callable[[str], None]
    ) -> None:
        self._api, self._chosen, self._max_age, self._refreshed = api, chosen, max_age, refreshed
        self._kept: dict[str, MetricListing] = {}

    def of(self, target: Target, window: Window, now: int, period: int) -> MetricListing:
        """Return the metrics of a region, listed anew when the last listing is too old; period in ms."""
        found = self._kept.get(target.key)
        if found is None or now - found.at >= self._max_age:
            recent = period <= HOUR and window.start > now - RECENT
            metrics = tuple(sorted(set(self._listed(target, recent=recent))))
            found = MetricListing(now, metrics, tuple(fingerprint(*metric) for metric in metrics))
            self._kept[target.key] = found
            self._refreshed(target.key)
        return found

    def _listed(self, target: Target, *, recent: bool) -> Iterator[Metric]:
        names = self._chosen.names
        for asked in self._chosen.requests(recent=recent):
            for reply in self._api.pages(target.region, _LIST, target.key, "NextToken", **asked):
                found = map(metric_of, reply["Metrics"])
                yield from (one for one in found if not names or one.name in names)
