"""One harmless read of each API action that a service needs: AWS itself says what is not allowed.

What one read has brought (a detector, a metric, a log group) is what the next one asks with; where there is
nothing to ask with, the action stays unproven, and the line does not name it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from flows.catalogue.service import ConfiguredService
from flows.check.finding import CheckContext, Finding, denied, fail, of_error, ok, spread, warn
from flows.check.identities import arn, known_accounts
from sources.apis.log_groups import GroupRule
from sources.aws.account import required
from sources.errors import BadCredentials, Denied, SourceError, translate

Found = dict[str, list[Any]]
"""What the reads of one service and region have brought: action → mandatory list."""

_MINUTES = 5


class ProbeTarget(Struct, frozen=True):
    """Where and when a read is made. group: of CloudWatch Logs, as configured."""

    context: CheckContext
    unit: ConfiguredService
    region: str
    group: str = ""

    @property
    def where(self) -> str:
        """For messages."""
        name = f"{self.unit.service.name} {self.group}".rstrip()
        return f"{name} in {self.region} ({self.unit.account.where})"


def _fits(_asked: ProbeTarget, _entry: Any) -> bool:
    return True


class Read(Struct, frozen=True):
    """action: IAM's name of the call. key: the mandatory list of its reply.

    parameters: from what was found before to the call's parameters; None = there is nothing to ask with.
    none: (what, hint) when the list is empty and that is worth a word. fits: whether an entry counts.
    """

    action: str
    key: str
    parameters: Callable[[ProbeTarget, Found], Mapping[str, Any] | None]
    none: tuple[str, str] | None = None
    fits: Callable[[ProbeTarget, Any], bool] = _fits


def _detector(_asked: ProbeTarget, found: Found) -> Mapping[str, Any] | None:
    detectors = found["guardduty:ListDetectors"]
    return {"DetectorId": detectors[0], "MaxResults": 1} if detectors else None


def _finding(_asked: ProbeTarget, found: Found) -> Mapping[str, Any] | None:
    ids = found.get("guardduty:ListFindings")
    return {"DetectorId": found["guardduty:ListDetectors"][0], "FindingIds": ids[:1]} if ids else None


def _groups(asked: ProbeTarget, _found: Found) -> Mapping[str, Any]:
    rule = GroupRule(asked.group)
    prefix = rule.group if rule.prefix is None else rule.prefix
    return {"limit": 1, **({"logGroupNamePrefix": prefix} if prefix else {})}


def _covered(asked: ProbeTarget, group: Any) -> bool:
    """Tell whether a group is meant; the exact name sorts before longer ones that begin so."""
    return GroupRule(asked.group).covers(str(group["logGroupName"]))


def _recent(asked: ProbeTarget, found: Found) -> Mapping[str, Any] | None:
    groups = found["logs:DescribeLogGroups"]
    now = asked.context.now()
    times = {"startTime": now - timedelta(minutes=_MINUTES), "endTime": now}
    ms = {name: int(at.timestamp() * 1000) for name, at in times.items()}
    return {"logGroupName": groups[0]["logGroupName"], "limit": 1, **ms} if groups else None


def _metrics(asked: ProbeTarget, _found: Found) -> Mapping[str, Any]:
    namespaces = asked.unit.options.namespaces
    return {"Namespace": namespaces[0]} if namespaces else {}


def _points(asked: ProbeTarget, found: Found) -> Mapping[str, Any] | None:
    metrics, now = found["cloudwatch:ListMetrics"], asked.context.now()
    if not metrics:
        return None
    fields = ("Namespace", "MetricName", "Dimensions")
    metric = {name: metrics[0][name] for name in fields if name in metrics[0]}
    stat = {"Metric": metric, "Period": 300, "Stat": "Sum"}
    times = {"StartTime": now - timedelta(minutes=_MINUTES), "EndTime": now}
    return {"MetricDataQueries": [{"Id": "one", "MetricStat": stat}], **times}


READS: Mapping[str, tuple[Read, ...]] = {
    "audits_api": (Read("cloudtrail:LookupEvents", "Events", lambda *_: {"MaxResults": 1}),),
    "metrics-all": (
        Read("cloudwatch:ListMetrics", "Metrics", _metrics),
        Read("cloudwatch:GetMetricData", "MetricDataResults", _points),
    ),
    "logs": (
        Read(
            "logs:DescribeLogGroups",
            "logGroups",
            _groups,
            (
                "there is no such log group",
                "correct log_group or regions; one that comes later is found",
            ),
            _covered,
        ),
        Read("logs:FilterLogEvents", "events", _recent),
    ),
    "aws-guardduty": (
        Read(
            "guardduty:ListDetectors",
            "DetectorIds",
            lambda *_: {"MaxResults": 1},
            ("there is no detector", "switch GuardDuty on in this region, or correct regions"),
        ),
        Read("guardduty:ListFindings", "FindingIds", _detector),
        Read("guardduty:GetFindings", "Findings", _finding),
    ),
}
"""Service → its reads, in this order. GetMetricData of one metric costs a hundred-thousandth of a dollar."""


def apis(context: CheckContext) -> Iterator[Finding]:
    """Read from every API of every service and region."""
    known = {account.name for account in known_accounts(context)}
    asked = [
        ProbeTarget(context, unit, region, group)
        for unit in context.units
        if unit.service.name in READS and unit.account.name in known
        for region in unit.options.regions
        for group in _groups_in(unit, region)
    ]
    return spread(_service, asked)


def _groups_in(unit: ConfiguredService, region: str) -> list[str]:
    """Return the log groups of a unit that may be in a region; of a service without any: one of no name."""
    names = [group.log_group for group in getattr(unit.options, "groups", ())] or [""]
    return [name for name in names if GroupRule(name).region in ("", region)]


def _service(asked: ProbeTarget) -> Iterator[Finding]:
    unit, found = asked.unit, Found()
    where = asked.where
    for read in READS[unit.service.name]:
        parameters = read.parameters(asked, found)
        if parameters is None:
            continue
        try:
            found[read.action] = _ask(read, asked, parameters)
        except BadCredentials as error:
            yield fail("region", error.what, where, f"is the region {asked.region} switched on here?")
            return
        except SourceError as error:
            yield _refused(asked, read, error)
            return
        if not found[read.action] and read.none:
            yield warn("nothing_there", read.none[0], where, read.none[1])
    yield ok("api", f"allowed: {', '.join(found)}", where)


def _refused(asked: ProbeTarget, read: Read, error: SourceError) -> Finding:
    if isinstance(error, Denied):
        return denied(error, read.action, arn(asked.context, asked.unit.account), f"* in {asked.region}")
    return of_error("api", error)


def _ask(read: Read, asked: ProbeTarget, parameters: Mapping[str, Any]) -> list[Any]:
    service, _, operation = read.action.partition(":")
    client = asked.unit.account.client(service, asked.region)
    try:
        reply = getattr(client, xform_name(operation))(**parameters)
    except (ClientError, BotoCoreError) as error:
        raise translate(error, asked.where, read.action) from error
    return [one for one in required(reply, read.key, asked.where) if read.fits(asked, one)]
