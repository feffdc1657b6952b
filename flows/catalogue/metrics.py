"""CloudWatch metrics."""

from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from threading import Event
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.catalogue import build
from flows.catalogue.calls import DAY, ApiCall, PlanScope, in_trouble, polls
from flows.catalogue.delays import linked, max_reach, reach
from flows.catalogue.filters import sifted
from flows.catalogue.probe import Found, Probe, ProbeTarget
from flows.catalogue.service import ConfiguredService, Service
from flows.catalogue.tagging import one_table
from flows.config.polled import PolledSettings
from flows.config.types import OneOrMany
from sources.apis.cloudwatch_metrics import RATES, CloudWatchMetrics, MetricsOptions
from sources.apis.metric_data import QUERIES, STATISTICS
from sources.apis.metric_listing import LATE_NAMESPACES
from sources.apis.poll import Poll
from sources.aws.limiter import Limiters
from transforms.setting import setting

_HIGH_RESOLUTION = (1, 5, 10, 20, 30)
_MINUTE = 60
_LIST_PAGE = 500
_DEFAULT = MetricsOptions(())


class MetricsSettings(PolledSettings):
    """`metrics-all`: CloudWatch metrics."""

    types: OneOrMany[Literal["metrics-all"]] = setting(("metrics-all",), example=["metrics-all"])
    """One type"""
    namespaces: OneOrMany[str] = setting((), example=["AWS/EC2", "AWS/SQS"], ours=True)
    """Only these namespaces; none = all"""
    metric_names: OneOrMany[str] = setting((), example=["CPUUtilization"], ours=True)
    """Only metrics of these names; none = all"""
    dimensions: dict[str, str] = setting(
        example={"AutoScalingGroupName": ""}, ours=True, default_factory=dict
    )
    """Only metrics with these dimensions; an empty value stands for any"""
    period: int = setting(_DEFAULT.period, example=60, unit="seconds", ours=True, ge=1)
    """Length of a point: 1, 5, 10, 20, 30 or whole minutes"""
    delay: int = setting(
        _DEFAULT.delay_seconds, example=_DEFAULT.delay_seconds, unit="seconds", ours=True, ge=0
    )
    """Points younger than this are not final and not asked for"""

    reach_seconds: int = reach(
        _DEFAULT.reach_seconds, "how long after that a point may come or change at least"
    )
    max_reach_seconds: int = max_reach(_DEFAULT.max_reach_seconds)
    late_namespaces: dict[str, Annotated[int, Field(gt=0)]] = setting(
        example={"AWS/S3": 172_800, "Nightly/Batch": 86_400},
        unit="seconds",
        ours=True,
        default_factory=lambda: dict(LATE_NAMESPACES),
    )
    """Namespaces whose points come hours late, and by how much; read four times a day. Of AWS/S3 the
    storage metrics only"""
    include_linked_accounts: bool = linked("metrics")

    @model_validator(mode="after")
    def _period_is_possible(self) -> Self:
        if self.period not in _HIGH_RESOLUTION and self.period % _MINUTE:
            allowed = f"{', '.join(map(str, _HIGH_RESOLUTION))} or a multiple of 60 seconds"
            raise ValueError(f"has period {self.period}: it must be {allowed}")
        return self


def _poll(unit: ConfiguredService[MetricsSettings], limiters: Limiters, drain: Event) -> Poll:
    options = unit.options
    own = {
        "names": options.metric_names,
        "delay_seconds": options.delay,
        "linked": options.include_linked_accounts,
    }
    chosen = build.api_options(MetricsOptions, unit, **own)
    return CloudWatchMetrics(unit.account, chosen, limiters, drain)


def _listings(at: PlanScope[MetricsSettings]) -> float:
    hours = DAY / _DEFAULT.list_seconds
    return hours * max(len(at.options.namespaces), ceil(at.guess.metrics / _LIST_PAGE), 1)


def _windows(at: PlanScope[MetricsSettings]) -> float:
    """Return how often a day there is something new to ask of each metric."""
    return min(polls(at), DAY / at.options.period)


def _requests(at: PlanScope[MetricsSettings]) -> float:
    return _windows(at) * ceil(at.guess.metrics / (QUERIES // len(STATISTICS)))


def _namespace(asked: ProbeTarget[MetricsSettings], _found: Found) -> Mapping[str, object]:
    namespaces = asked.options.namespaces
    linked = {"IncludeLinkedAccounts": True} if asked.options.include_linked_accounts else {}
    return {"Namespace": namespaces[0], **linked} if namespaces else linked


def _points(asked: ProbeTarget[MetricsSettings], found: Found) -> Mapping[str, object] | None:
    metrics = found["cloudwatch:ListMetrics"]
    if not metrics:
        return None
    fields = ("Namespace", "MetricName", "Dimensions")
    metric = {name: metrics[0][name] for name in fields if name in metrics[0]}
    stat = {"Metric": metric, "Period": 300, "Stat": "Sum"}
    times = {"StartTime": asked.now - timedelta(minutes=5), "EndTime": asked.now}
    return {"MetricDataQueries": [{"Id": "one", "MetricStat": stat}], **times}


METRICS = Service(
    name="metrics-all",
    about="CloudWatch metrics",
    service_key="metrics-all",
    settings=MetricsSettings,
    source=build.polled(_poll, build.within(RATES)),
    transform=sifted(one_table("cloud.aws.cloudwatch.metrics")),
    event_name=("metricName",),
    calls=(
        ApiCall("cloudwatch:ListMetrics", _listings),
        ApiCall(
            "cloudwatch:GetMetricData",
            _requests,
            charged=lambda at: _windows(at) * at.guess.metrics,
        ),
        ApiCall("cloudwatch:GetMetricStatistics", in_trouble),
    ),
    probes=(
        Probe("cloudwatch:ListMetrics", "Metrics", _namespace),
        Probe("cloudwatch:GetMetricData", "MetricDataResults", _points),
    ),
)
"""GetMetricData of one metric, as `check` asks, costs a hundred-thousandth of a dollar."""
