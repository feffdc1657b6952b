"""`python -m flows plan`: what a configuration will ask of AWS each day, and what that costs each month.

Calls follow from the configuration (regions, queues, periods) and from what it cannot tell (objects, metrics,
events), which are options with defaults. They are upper bounds of a quiet run: no retries, no throttling, no
catching up. Prices are AWS's list prices of us-east-1 without free tiers; other regions differ by up to
a half. What AWS charges for otherwise (storage, log ingestion, traffic out of AWS) is not in it, except, on
request, traffic.
"""

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from flows.catalogue.service import ConfiguredService, Permission
from flows.catalogue.services import units
from flows.config.load import Settings
from sources.apis.cloudwatch_metrics import MetricsOptions
from sources.apis.log_groups import GroupRule
from sources.apis.metric_data import QUERIES, STATISTICS
from sources.queues.lease import LeaseOptions
from sources.queues.sqs import LOT

PRICES_OF = "us-east-1 list prices of 2025-01, without free tiers"
DAY, DAYS_A_MONTH = 86_400, 30.4
_ROLE_RENEWED_SECONDS = 2_700
"""A session of an hour is renewed a quarter before its end."""

_LOOKUP_PAGE, _LIST_PAGE, _GROUP_PAGE, _FINDINGS_PAGE = 50, 500, 50, 50
_PAGE_BYTES = 1 << 20


class Price(Struct, frozen=True):
    """usd for each `per` units. unit: what AWS counts."""

    usd: float
    per: int
    unit: str = "requests"


_SQS = Price(0.40, 1_000_000)
_METRICS = Price(0.01, 1_000)

PRICES: Mapping[str, Price] = {
    "sqs:GetQueueUrl": _SQS,
    "sqs:ReceiveMessage": _SQS,
    "sqs:DeleteMessage": _SQS,
    "sqs:ChangeMessageVisibility": _SQS,
    "s3:GetObject": Price(0.0004, 1_000),
    "s3:GetObjectVersion": Price(0.0004, 1_000),
    "cloudwatch:ListMetrics": _METRICS,
    "cloudwatch:GetMetricData": Price(0.01, 1_000, "metrics"),
    "cloudwatch:GetMetricStatistics": _METRICS,
    "kms:Decrypt": Price(0.03, 10_000),
    "traffic": Price(0.09, 1, "GB"),
}
"""Action → price; an action that is not here is free (LookupEvents, FilterLogEvents, GuardDuty, STS)."""

FIFO = Price(0.50, 1_000_000)
"""Requests to a FIFO queue."""


class Guess(Struct, frozen=True):
    """What a configuration cannot tell, each for one service in one region and one day unless it says else.

    objects: announced in S3. messages: of queues whose messages are the events. events: in CloudTrail's API.
    metrics: at any time. groups: log groups that a prefix stands for. log_megabytes: of log events.
    findings: of GuardDuty. traffic_gb: out of AWS, of all services together. processes: of the collector.
    encrypted: S3 objects are encrypted with a KMS key without bucket keys.
    """

    objects: float = 10_000
    messages: float = 10_000
    events: float = 10_000
    metrics: float = 1_000
    groups: float = 20
    log_megabytes: float = 100
    findings: float = 10
    traffic_gb: float = 0
    processes: int = 1
    encrypted: bool = False


class Row(Struct, frozen=True):
    """One action of one service in one region. calls: a day. usd: a month. queue: its name, "" for APIs."""

    input: str
    service: str
    region: str
    action: str
    calls: float
    usd: float
    queue: str = ""


class _PlanScope(Struct, frozen=True):
    unit: ConfiguredService
    region: str
    guess: Guess
    queue: str = ""

    @property
    def polls(self) -> float:
        """How often a day this service looks here."""
        return DAY / float(self.unit.options.request_period_in_seconds)

    @property
    def messages(self) -> float:
        """Messages a day of this queue: one for each object, or the events themselves."""
        return self.guess.objects if self.unit.service.layout else self.guess.messages


def _receives(at: _PlanScope) -> float:
    return at.guess.processes * DAY / LeaseOptions().wait_seconds + at.messages


def _deletes(at: _PlanScope) -> float:
    return min(at.messages, at.guess.processes * DAY / LeaseOptions().wait_seconds + at.messages / LOT)


def _lookups(at: _PlanScope) -> float:
    options = at.unit.options
    period, reach = options.request_period_in_seconds, options.overlap_seconds + options.settle_seconds
    seen = at.guess.events / at.polls * (period + reach) / period
    kinds = 2 if options.collect_insights else 1
    return at.polls * (ceil(seen / _LOOKUP_PAGE) or 1) + at.polls * (kinds - 1)


def _listings(at: _PlanScope) -> float:
    hours = DAY / MetricsOptions(()).list_seconds
    return hours * max(len(at.unit.options.namespaces), ceil(at.guess.metrics / _LIST_PAGE), 1)


def _windows(at: _PlanScope) -> float:
    """Return how often a day there is something new to ask of each metric."""
    return float(min(at.polls, DAY / at.unit.options.period))


def _metric_requests(at: _PlanScope) -> float:
    return _windows(at) * ceil(at.guess.metrics / (QUERIES // len(STATISTICS)))


def _groups(at: _PlanScope) -> float:
    rules = [GroupRule(group.log_group) for group in at.unit.options.groups]
    here = [rule for rule in rules if rule.region in ("", at.region)]
    return sum(1 if rule.prefix is None else at.guess.groups for rule in here)


def _filters(at: _PlanScope) -> float:
    options = at.unit.options
    again = 1 + float(options.overlap_seconds / options.request_period_in_seconds)
    return at.polls * _groups(at) + at.guess.log_megabytes * 1_000_000 / _PAGE_BYTES * again


CALLS: Mapping[str, Callable[[_PlanScope], float]] = {
    "sqs:GetQueueUrl": lambda at: 0 if "://" in at.queue else at.guess.processes,
    "sqs:ReceiveMessage": _receives,
    "sqs:DeleteMessage": _deletes,
    "sqs:ChangeMessageVisibility": lambda _at: 0,
    "s3:GetObject": lambda at: at.guess.objects,
    "s3:GetObjectVersion": lambda _at: 0,  # instead of it, where buckets keep versions
    "kms:Decrypt": lambda at: at.guess.objects,
    "cloudtrail:LookupEvents": _lookups,
    "cloudwatch:ListMetrics": _listings,
    "cloudwatch:GetMetricData": _metric_requests,
    "cloudwatch:GetMetricStatistics": lambda _at: 0,
    "logs:DescribeLogGroups": lambda at: at.polls * ceil(max(_groups(at), 1) / _GROUP_PAGE),
    "logs:FilterLogEvents": _filters,
    "guardduty:ListDetectors": lambda at: at.polls,
    "guardduty:ListFindings": lambda at: at.polls + ceil(at.guess.findings / _FINDINGS_PAGE),
    "guardduty:GetFindings": lambda at: at.polls,
}
"""Action → calls a day; 0 for what happens in trouble only."""

CHARGED: Mapping[str, Callable[[_PlanScope], float]] = {
    "cloudwatch:GetMetricData": lambda at: _windows(at) * at.guess.metrics
}
"""Action → what AWS counts a day, where that is not the calls."""


def plan(settings: Settings, guess: Guess) -> list[Row]:
    """Return what each action will be called and cost, service by service and region by region."""
    running = units(settings)
    rows = [row for unit in running for row in _rows(unit, guess)]
    for name in dict.fromkeys(unit.account.name for unit in running):
        hops = settings.inputs[name].credentials.hops
        assumed = len(hops) * guess.processes * DAY / _ROLE_RENEWED_SECONDS
        rows += [Row(name, "credentials", "", "sts:AssumeRole", assumed, 0)] if hops else []
    if guess.traffic_gb:
        rows.append(Row("", "all", "", "traffic", 0, _usd("traffic", guess.traffic_gb)))
    return rows


def _rows(unit: ConfiguredService, guess: Guess) -> Iterator[Row]:
    for place in _places(unit, guess):
        for action in _actions(unit.service.permissions, guess):
            calls = CALLS[action](place) if action in CALLS else place.polls
            counted = CHARGED[action](place) if action in CHARGED else calls
            usd = _usd(action, counted, fifo=place.queue.endswith(".fifo"))
            yield Row(unit.account.name, unit.service.name, place.region, action, calls, usd, place.queue)


def _places(unit: ConfiguredService, guess: Guess) -> list[_PlanScope]:
    queues = unit.options.queues(unit.service.name) if hasattr(unit.options, "queues") else []
    if queues:
        return [_PlanScope(unit, region, guess, queue) for region, queue in queues]
    return [_PlanScope(unit, region, guess) for region in unit.options.regions]


def _actions(permissions: tuple[Permission, ...], guess: Guess) -> list[str]:
    found = [action for permission in permissions for action in permission.actions]
    return [*found, "kms:Decrypt"] if guess.encrypted and "s3:GetObject" in found else found


def _usd(action: str, a_day: float, *, fifo: bool = False) -> float:
    price = FIFO if fifo and action.startswith("sqs:") else PRICES.get(action)
    return a_day * DAYS_A_MONTH / price.per * price.usd if price else 0.0


def totals(rows: list[Row]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return (input, service, region) → calls a day, USD a month; in the rows' order."""
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for row in rows:
        key = (row.input, row.service, row.region)
        calls, usd = found.get(key, (0.0, 0.0))
        found[key] = (calls + row.calls, usd + row.usd)
    return found


def report(rows: list[Row], guess: Guess) -> dict[str, Any]:
    """Return everything for machines. calls: a day. usd: a month."""
    return {
        "prices": PRICES_OF,
        "assumed": asdict(guess),
        "rows": [{**asdict(row), "calls": round(row.calls), "usd": round(row.usd, 4)} for row in rows],
        "calls_per_day": round(sum(row.calls for row in rows)),
        "usd_per_month": round(sum(row.usd for row in rows), 2),
    }
