"""From a unit's settings to its poll strategy: one function for each API."""

from datetime import datetime
from typing import Any

from flows.service import Unit
from sources.cloudtrail import LookupEvents, LookupOptions
from sources.cloudwatch_logs import CloudWatchLogs, GroupRule, LogsOptions
from sources.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.guardduty import GuardDuty, GuardDutyOptions
from sources.limiter import Limiters
from sources.poll import Poll


def lookup_events(unit: Unit, limiters: Limiters, drain: Any) -> Poll:
    """CloudTrail's LookupEvents."""
    options = unit.options
    chosen = LookupOptions(
        options.regions,
        _ms(options.start_time),
        options.collect_insights,
        options.request_period_in_seconds,
        service=unit.service.name,
    )
    return LookupEvents(unit.account, chosen, limiters, drain)


def log_events(unit: Unit, limiters: Limiters, drain: Any) -> Poll:
    """CloudWatch Logs."""
    options = unit.options
    rules = tuple(GroupRule(group.log_group, _ms(group.start_time)) for group in options.groups)
    chosen = LogsOptions(options.regions, rules, options.request_period_in_seconds, service=unit.service.name)
    return CloudWatchLogs(unit.account, chosen, limiters, drain)


def metric_data(unit: Unit, limiters: Limiters, drain: Any) -> Poll:
    """CloudWatch metrics."""
    options = unit.options
    chosen = MetricsOptions(
        options.regions,
        _ms(options.start_time),
        options.namespaces,
        options.metric_names,
        options.dimensions,
        options.period,
        options.delay,
        options.request_period_in_seconds,
        service=unit.service.name,
    )
    return CloudWatchMetrics(unit.account, chosen, limiters, drain)


def findings(unit: Unit, limiters: Limiters, drain: Any) -> Poll:
    """GuardDuty's findings."""
    options = unit.options
    chosen = GuardDutyOptions(
        options.regions,
        _ms(options.start_time),
        options.collect_archived,
        options.request_period_in_seconds,
        service=unit.service.name,
    )
    return GuardDuty(unit.account, chosen, limiters, drain)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
