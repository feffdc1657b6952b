"""CloudWatch Logs: a service of any name with `types: [logs]`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from math import ceil
from threading import Event
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flows.catalogue import build
from flows.catalogue.calls import ANY_RESOURCE, ApiCall, PlanScope, polls
from flows.catalogue.delays import linked, max_reach, overlap, settle
from flows.catalogue.filters import sifted
from flows.catalogue.probe import Found, Probe, ProbeTarget, Told
from flows.catalogue.service import ConfiguredService, Service
from flows.catalogue.tagging import one_table
from flows.config.polled import PolledSettings
from flows.config.types import Model, Moment, OneOrSeveral, one_or_many
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.log_groups import RATES, GroupRule, is_readable
from sources.apis.logs import insights
from sources.apis.poll import Poll
from sources.aws import partitions
from sources.aws.limiter import Limiters
from transforms.setting import setting

_GROUP_PAGE, _PAGE_BYTES = 50, 1 << 20
_SHOWN = 3
_LOOKS = 3
"""Times that a query is asked for its results."""

_READ = 2
"""Times that an event is read: when it is new, and when it has become final; see cloudwatch_logs.py."""

_DEFAULT = LogsOptions((), ())


class LogGroup(Model):
    """One log group of a custom logs service."""

    log_group: str = setting(example="/aws/lambda/f", min_length=1)
    """Name or ARN; / = every group; a name that ends in / or * stands for all that begin so"""
    start_time: Moment | None = setting(None, example="2026-01-02T03:04:05Z")
    """Its own start time, by default the service's"""


class CloudWatchLogsSettings(PolledSettings):
    """A service of any name with `types: [logs]`: CloudWatch Logs."""

    types: Annotated[tuple[Literal["logs"], ...], Field(min_length=1), BeforeValidator(one_or_many)] = (
        setting(example=["logs"])
    )
    """Marks the service as one of CloudWatch Logs"""
    log_group: str | None = setting(None, example="/", min_length=1)
    """Name or ARN of the group; / = every group; one that ends in / or * = all that begin so"""
    log_groups: OneOrSeveral[LogGroup] = setting(
        (), example=[{"log_group": "/aws/lambda/f", "start_time": "2026-01-02T03:04:05Z"}]
    )
    """Several groups, each with a start time of its own"""
    log_stream_prefix: str | None = setting(None, example="i-0", ours=True, min_length=1, max_length=512)
    """Only streams whose names begin so"""
    filter_pattern: str | None = setting(None, example="ERROR", ours=True, min_length=1, max_length=1024)
    """Only events that match this pattern of CloudWatch Logs"""
    include_linked_accounts: bool = linked("log groups")
    infrequent_access: bool = setting(default=False, example=True, ours=True)
    """true: read groups of the class Infrequent Access too, by queries of Logs Insights; AWS charges for what
    they scan. By default they are told and left out"""
    settle_seconds: int = settle(_DEFAULT.settle_seconds)
    overlap_seconds: int = overlap(_DEFAULT.overlap_seconds)
    max_reach_seconds: int = max_reach(_DEFAULT.max_reach_seconds)

    @model_validator(mode="after")
    def _knows_its_groups(self) -> Self:
        if not self.enabled:
            return self
        if bool(self.log_group) == bool(self.log_groups):
            what = "names its groups twice" if self.log_group else "has no log group"
            raise ValueError(f"{what}: give log_group (/ = every group) or log_groups")
        if self.infrequent_access and self.filter_pattern:
            raise ValueError(
                "has filter_pattern and infrequent_access: queries know no such pattern, keep one"
            )
        names = [group.log_group for group in self.log_groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"has log group {twice[0]} twice: keep one")
        return self

    @property
    def groups(self) -> tuple[LogGroup, ...]:
        """The groups to read, each with its start time; one named / stands for all."""
        if self.log_group:
            return (LogGroup.model_construct(log_group=self.log_group, start_time=self.start_time),)
        return tuple(
            group.model_copy(update={"start_time": group.start_time or self.start_time})
            for group in self.log_groups
        )

    def rules(self, region: str) -> list[GroupRule]:
        """Return which groups are meant, of those that may be in a region."""
        found = (GroupRule(group.log_group, build.start_ms(group.start_time)) for group in self.groups)
        return [rule for rule in found if rule.region in ("", region)]


def _poll(unit: ConfiguredService[CloudWatchLogsSettings], limiters: Limiters, drain: Event) -> Poll:
    options = unit.options
    groups = tuple(GroupRule(one.log_group, build.start_ms(one.start_time)) for one in options.groups)
    prefix, linked, queries = (
        options.log_stream_prefix,
        options.include_linked_accounts,
        options.infrequent_access,
    )
    more = {"groups": groups, "stream_prefix": prefix, "linked": linked, "queries": queries}
    chosen = build.api_options(LogsOptions, unit, **more)
    return CloudWatchLogs(unit.account, chosen, limiters, drain)


def _groups(at: PlanScope[CloudWatchLogsSettings]) -> float:
    rules = at.options.rules(at.region)
    return sum(1 if rule.prefix is None else at.guess.groups for rule in rules)


def _filters(at: PlanScope[CloudWatchLogsSettings]) -> float:
    return polls(at) * _groups(at) + at.guess.log_megabytes * 1_000_000 / _PAGE_BYTES * _READ


def _queries(at: PlanScope[CloudWatchLogsSettings]) -> float:
    """Any group may be one that is queried."""
    return polls(at) * _groups(at) if at.options.infrequent_access else 0


def _scanned(at: PlanScope[CloudWatchLogsSettings]) -> float:
    return at.guess.log_megabytes * _READ if at.options.infrequent_access else 0


def _owned(options: CloudWatchLogsSettings, region: str, account: str) -> str:
    """Return where groups of an account begin: in an ARN of their own where they may be another's."""
    owner = "*" if options.include_linked_accounts else account
    return f"arn:{partitions.name_of(region)}:logs:{region}:{owner}:log-group:" if owner else "log-group:"


def _arns(options: CloudWatchLogsSettings, region: str) -> Iterator[str]:
    for rule in options.rules(region):
        name = rule.group if rule.prefix is None else f"{rule.prefix}*"
        yield f"{_owned(options, region, rule.account)}{name}:*"


def _queried(options: CloudWatchLogsSettings, region: str) -> Iterator[str]:
    yield from _arns(options, region) if options.infrequent_access else ()


def _listings(options: CloudWatchLogsSettings, region: str) -> Iterator[str]:
    """Yield what a listing is checked against: `log-group::log-stream:`, whatever name is asked for."""
    for account in sorted({"", *(rule.account for rule in options.rules(region))}):
        yield f"{_owned(options, region, account)}*"


def _listed(asked: ProbeTarget[CloudWatchLogsSettings], _found: Found) -> Mapping[str, object]:
    rule = GroupRule(asked.part)
    prefix = rule.group if rule.prefix is None else rule.prefix
    named = {"logGroupNamePrefix": prefix} if prefix else {}
    account = rule.foreign(asked.account)
    there = {"accountIdentifiers": [account]} if account else {}
    linked = account or asked.options.include_linked_accounts
    return {"limit": _GROUP_PAGE, **named, **there, **({"includeLinkedAccounts": True} if linked else {})}


def _covered(asked: ProbeTarget[CloudWatchLogsSettings], group: Mapping[str, object]) -> bool:
    """Tell whether a group is meant; the exact name sorts before longer ones that begin so."""
    return GroupRule(asked.part).covers(str(group["logGroupName"]))


def _recent(asked: ProbeTarget[CloudWatchLogsSettings], found: Found) -> Mapping[str, object] | None:
    groups = [one for one in found["logs:DescribeLogGroups"] if is_readable(one)]
    if not groups:
        return None
    times = {"startTime": asked.now - timedelta(minutes=5), "endTime": asked.now}
    ms = {name: int(at.timestamp() * 1000) for name, at in times.items()}
    arn, name = groups[0]["arn"].removesuffix(":*"), groups[0]["logGroupName"]
    own = not asked.account or arn.split(":")[4] == asked.account
    return {**({"logGroupName": name} if own else {"logGroupIdentifier": arn}), "limit": 1, **ms}


def _one_second(asked: ProbeTarget[CloudWatchLogsSettings], found: Found) -> Mapping[str, object] | None:
    """Return a query of nearly nothing, of a group that is read by queries."""
    rare = [one for one in found["logs:DescribeLogGroups"] if not is_readable(one)]
    if not asked.options.infrequent_access or not rare:
        return None
    second = int(asked.now.timestamp()) - 60
    place = {"logGroupIdentifiers": [rare[0]["arn"].removesuffix(":*")], "queryString": "fields @timestamp"}
    return {**place, "startTime": second, "endTime": second, "limit": 1}


def _unread(
    unit: ConfiguredService[CloudWatchLogsSettings], groups: Sequence[Mapping[str, object]]
) -> Told | None:
    """Return what to say of groups of a class that is not read."""
    queries = unit.options.infrequent_access
    names = [str(one["logGroupName"]) for one in groups if not is_readable(one, queries=queries)]
    hint = "let its logs go to a group of class STANDARD, or see infrequent_access: no class can be changed"
    return (f"{', '.join(names[:_SHOWN])} is of a class that is not read", hint) if names else None


LOGS = Service(
    name="logs",
    about="CloudWatch Logs",
    service_key="",
    settings=CloudWatchLogsSettings,
    source=build.polled(_poll, build.within({**RATES, **insights.RATES})),
    transform=sifted(one_table("cloud.aws.cloudwatch.logs")),
    event_name=("logGroup",),
    calls=(
        ApiCall(
            "logs:DescribeLogGroups",
            lambda at: polls(at) * ceil(max(_groups(at), 1) / _GROUP_PAGE),
            _listings,
        ),
        ApiCall("logs:FilterLogEvents", _filters, _arns),
        ApiCall("logs:StartQuery", _queries, _queried, _scanned),
        ApiCall(
            "logs:GetQueryResults",
            lambda at: _queries(at) * _LOOKS,
            lambda options, _region: [ANY_RESOURCE] if options.infrequent_access else [],
        ),
    ),
    probes=(
        Probe(
            "logs:DescribeLogGroups",
            "logGroups",
            _listed,
            ("there is no such log group", "correct log_group or regions; one that comes later is found"),
            _covered,
            _unread,
            "unreadable",
        ),
        Probe("logs:FilterLogEvents", "events", _recent),
        Probe("logs:StartQuery", "queryId", _one_second),
    ),
    parts=lambda options, region: [rule.name for rule in options.rules(region)],
)
