"""Each API's strategy gets what the configuration says, and AWS's own delays when it says nothing."""

import threading
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from flows.catalogue.build import fingerprint
from flows.catalogue.service import ConfiguredService, RunContext
from flows.catalogue.services import every
from sources.apis.cloudtrail import LookupOptions
from sources.apis.cloudwatch_logs import LogsOptions
from sources.apis.cloudwatch_metrics import MetricsOptions
from sources.apis.guardduty import GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.aws.account import Account

START, START_MS = "2026-01-02T03:04:05.006Z", 1_767_323_045_006
OWN = {"logs": {"log_group": "/"}}
REGIONS = ("eu-west-1",)
DEFAULTS: dict[str, Any] = {
    "audits_api": LookupOptions(REGIONS, service="audits_api"),
    "logs": LogsOptions(REGIONS, (GroupRule("/"),), service="logs"),
    "metrics-all": MetricsOptions(REGIONS, service="metrics-all"),
    "aws-guardduty": GuardDutyOptions(REGIONS, service="aws-guardduty"),
}
CHOSEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "audits_api": (
        {"settle_seconds": 1, "overlap_seconds": 2, "max_reach_seconds": 3, "collect_insights": True},
        {"start": START_MS, "settle_seconds": 1, "overlap_seconds": 2, "max_reach_seconds": 3,
         "insights": True},
    ),
    "logs": (
        {"settle_seconds": 1, "overlap_seconds": 2, "max_reach_seconds": 3, "filter_pattern": "ERROR",
         "log_stream_prefix": "i-", "include_linked_accounts": True},
        {"settle_seconds": 1, "overlap_seconds": 2, "max_reach_seconds": 3, "filter_pattern": "ERROR",
         "stream_prefix": "i-", "linked": True,
         "groups": (GroupRule("/", START_MS),)},
    ),
    "metrics-all": (
        {"namespaces": "AWS/EC2", "metric_names": "A", "dimensions": {"b": ""}, "period": 60, "delay": 0,
         "reach_seconds": 1, "max_reach_seconds": 2, "late_namespaces": {"A": 3},
         "include_linked_accounts": True},
        {"start": START_MS, "namespaces": ("AWS/EC2",), "names": ("A",), "dimensions": {"b": ""},
         "period": 60, "delay_seconds": 0, "reach_seconds": 1, "max_reach_seconds": 2,
         "late_namespaces": {"A": 3}, "linked": True},
    ),
    "aws-guardduty": (
        {"overlap_seconds": 2, "reach_seconds": 3, "max_reach_seconds": 4, "collect_archived": False},
        {"start": START_MS, "overlap_seconds": 2, "reach_seconds": 3, "max_reach_seconds": 4,
         "archived": False},
    ),
}  # fmt: skip
"""Service → keys of the configuration, and the options that they become."""

each = pytest.mark.parametrize("name", DEFAULTS)


def unit_of(name, **more):
    own = {"regions": REGIONS, "types": [name], **OWN.get(name, {}), **more}
    service = every()[name]
    return ConfiguredService(
        "1", service.service_key, Account("in"), service, service.settings.model_validate(own)
    )


def options_of(unit):
    """Return the options that a unit's strategy is made with."""
    return unit.service.source(unit, RunContext(threading.Event())).poll._options


@each
def test_what_is_not_said_is_as_aws_needs_it(name):
    """A service without settings of its own has the delays and periods that its source is made for."""
    assert options_of(unit_of(name)) == DEFAULTS[name]


@each
def test_what_is_said_reaches_the_source(name):
    """Every key of an API service changes the option that it stands for, and no other one."""
    given, becomes = CHOSEN[name]
    unit = unit_of(name, start_time=START, request_period_in_seconds=0.5, **given)
    assert options_of(unit) == replace(DEFAULTS[name], period_seconds=0.5, **becomes)


@each
def test_positions_survive_other_delays(name):
    """The state's fingerprint is that of start_time alone: another settle or overlap begins nothing anew."""
    plain = fingerprint(unit_of(name, start_time=START).options)
    assert fingerprint(unit_of(name, start_time=START, **CHOSEN[name][0]).options) == plain
    assert fingerprint(unit_of(name).options) != plain


@pytest.mark.parametrize("key", ["settle_seconds", "overlap_seconds"])
def test_no_negative_delays(key):
    """A window can reach back, not ahead."""
    with pytest.raises(ValidationError, match=key):
        unit_of("logs", **{key: -1})
