"""Which metrics a region has, by ListMetrics: refreshed now and then, filtered as far as the API can.

ListMetrics tells new metrics up to 15 minutes and a listing late: a metric that is new in a listing is read
from the last listing before on.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Protocol

from msgspec import Struct, field

from sources.apis.api import Api, Operation, fingerprint
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


LATE_NAMESPACES: Mapping[str, int] = {
    "AWS/S3": 172_800,
    "AWS/S3/Storage-Lens": 172_800,
    "AWS/Billing": 86_400,
}
"""Namespaces whose points come once a day or so → how late they may be, in seconds. Of AWS/S3 only what the
storage holds (with a StorageType); requests to it are counted each minute."""


class MetricFilter(Struct, frozen=True):
    """Which metrics are wanted.

    namespaces, names: only these, () = all. dimensions: name → value that a metric must have, "" = any.
    late: see `LATE_NAMESPACES`. linked: those of linked accounts too.
    """

    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=lambda: LATE_NAMESPACES)
    linked: bool = False

    def reaches(self) -> list[int]:
        """Return by how much points of the wanted namespaces that come late may be, in seconds."""
        wanted = [late for name, late in self.late.items() if not self.namespaces or name in self.namespaces]
        return sorted(set(wanted))

    def reach_of(self, metric: Metric) -> int:
        """Return how late points of a metric may be, in seconds; 0 = as those of most."""
        stored = metric.namespace != "AWS/S3" or any(name == "StorageType" for name, _ in metric.dimensions)
        return self.late.get(metric.namespace, 0) if stored else 0

    def requests(self, reach: int, *, recent: bool) -> Iterator[dict[str, Any]]:
        """Yield the parameters of each listing. recent: only what has had points in the last three hours."""
        asked: dict[str, Any] = {"RecentlyActive": "PT3H"} if recent and not reach else {}
        if self.linked:
            asked["IncludeLinkedAccounts"] = True
        if self.dimensions:
            asked["Dimensions"] = [
                {"Name": name, "Value": value} if value else {"Name": name}
                for name, value in self.dimensions.items()
            ]
        if len(self.names) == 1:
            asked["MetricName"] = self.names[0]
        late = [name for name, seconds in self.late.items() if seconds == reach]
        wanted = [name for name in self.namespaces or late if not reach or name in late]
        for namespace in wanted or ("",):
            yield {**asked, "Namespace": namespace} if namespace else asked

    def wants(self, metric: Metric, reach: int) -> bool:
        """Tell whether a listed metric is one of those with this reach."""
        return (not self.names or metric.name in self.names) and self.reach_of(metric) == reach


class MetricListings:
    """The listings of all regions, each until it is too old. refreshed: called with a region listed anew."""

    def __init__(
        self, api: Api[MetricsClient], chosen: MetricFilter, max_age: int, refreshed: Callable[[str], None]
    ) -> None:
        self._api, self._chosen, self._max_age, self._refreshed = api, chosen, max_age, refreshed
        self._kept: dict[str, MetricListing] = {}

    def of(self, target: Target, window: Window, asked_at: int, period: int) -> MetricListing:
        """Return the metrics of a region, listed anew when the last listing is too old; period in ms.

        asked_at: by this machine's clock.
        """
        found, now = self._kept.get(target.key), self._api.by_aws(asked_at)
        if found is None or now - found.at >= self._max_age:
            recent = period <= HOUR and window.start > now - RECENT
            metrics = tuple(sorted(set(self._listed(target, 0, recent=recent))))
            ids = tuple(fingerprint(*metric.identity) for metric in metrics)
            at = min(now, self._api.by_aws(asked_at))
            found = self._kept[target.key] = MetricListing(at, metrics, ids)
            self._refreshed(target.key)
        return found

    def late(self, target: Target) -> dict[int, list[Metric]]:
        """List the metrics of a region that come late, by reach in seconds."""
        return {
            reach: sorted(set(self._listed(target, reach, recent=False))) for reach in self._chosen.reaches()
        }

    def _listed(self, target: Target, reach: int, *, recent: bool) -> Iterator[Metric]:
        for asked in self._chosen.requests(reach, recent=recent):
            for reply in self._api.pages(target.region, _LIST, target.key, "NextToken", **asked):
                owners = reply.get("OwningAccounts") or ()
                for listed, owner in zip_longest(reply["Metrics"], owners[: len(reply["Metrics"])]):
                    metric = metric_of(listed, owner if owner and owner != target.account else "")
                    if self._chosen.wants(metric, reach):
                        yield metric
