"""From a unit's settings to its poll strategy: one value for each API, which says what its options are."""

from collections.abc import Callable
from typing import Any

from flows.catalogue.build import PollOf
from flows.catalogue.service import ConfiguredService
from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.apis.poll import Poll
from sources.apis.window import to_ms
from sources.aws.limiter import Limiters

Read = Callable[[ConfiguredService], Any]


def _set(name: str) -> Read:
    return lambda unit: getattr(unit.options, name)


def _ms(service: Any) -> int | None:
    return None if service.start_time is None else to_ms(service.start_time)


def _start(unit: ConfiguredService) -> int | None:
    return _ms(unit.options)


def _groups(unit: ConfiguredService) -> tuple[GroupRule, ...]:
    return tuple(GroupRule(group.log_group, _ms(group)) for group in unit.options.groups)


def _of(poll: Callable[..., Poll], options: Callable[..., Any], *same: str, **others: Read) -> PollOf:
    """Return what makes a strategy. same: options that are called as their settings; others: the rest."""
    read: dict[str, Read] = {
        "regions": _set("regions"),
        "period_seconds": _set("request_period_in_seconds"),
        "service": lambda unit: unit.service.name,
        **{name: _set(name) for name in same},
        **others,
    }

    def build(unit: ConfiguredService, limiters: Limiters, drain: Any) -> Poll:
        chosen = options(**{name: one(unit) for name, one in read.items()})
        return poll(unit.account, chosen, limiters, drain)

    return build


lookup_events = _of(
    LookupEvents,
    LookupOptions,
    "settle_seconds",
    "overlap_seconds",
    start=_start,
    insights=_set("collect_insights"),
)
log_events = _of(CloudWatchLogs, LogsOptions, "settle_seconds", "overlap_seconds", groups=_groups)
metric_data = _of(
    CloudWatchMetrics,
    MetricsOptions,
    "namespaces",
    "dimensions",
    "period",
    start=_start,
    names=_set("metric_names"),
    delay_seconds=_set("delay"),
)
findings = _of(
    GuardDuty, GuardDutyOptions, "overlap_seconds", start=_start, archived=_set("collect_archived")
)
