"""The collector's own metrics, as plain numbers: what the page shows and Prometheus scrapes are the same."""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from sources.metric_scopes import MetricScope

_PREFIX = "collector_"

Labels = frozenset[tuple[str, str]]


class MetricsSnapshot(Struct, frozen=True):
    """Values by metric name (without `collector_`) and labels."""

    values: Mapping[str, Mapping[Labels, float]]

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all series that have these labels; 0 when there is none."""
        return sum(value for _, value in self.series(name, **labels))

    def of(self, name: str, labels: Mapping[str, str]) -> float:
        """Return the figure of just these labels; 0 when there is none."""
        return self.values.get(name, {}).get(frozenset(labels.items()), 0.0)

    def series(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yield labels and value of each series that has these labels."""
        wanted = frozenset(labels.items())
        for known, value in self.values.get(name, {}).items():
            if wanted <= known:
                yield dict(known), value

    def places(self) -> set[MetricScope]:
        """Return the places that anything was counted for."""
        names = ("requests_total", "source_events_total", "targets_failing")
        return {MetricScope(**labels) for name in names for labels, _ in self.series(name)}


def figures(registry: Collector = REGISTRY) -> MetricsSnapshot:
    """Return what the registry holds now."""
    values: dict[str, dict[Labels, float]] = {}
    for metric in registry.collect():
        if metric.name.startswith(_PREFIX):
            for sample in metric.samples:
                name = sample.name.removeprefix(_PREFIX)
                values.setdefault(name, {})[frozenset(sample.labels.items())] = sample.value
    return MetricsSnapshot(values)
