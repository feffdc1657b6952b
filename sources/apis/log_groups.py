"""Which log groups there are: those that the rules cover, listed in their regions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any, Protocol

from msgspec import Struct

from sources import telemetry
from sources.apis.api import Api, Operation, fingerprint
from sources.apis.poll import Target
from sources.errors import Missing, SourceError

_STANDARD, _RARE = "STANDARD", "INFREQUENT_ACCESS"

Reply = Mapping[str, Any]

_SLOW_REGIONS = ("ap-northeast-3", "ap-southeast-3", "ca-west-1", "eu-central-1", "il-central-1")

RATES = {
    "DescribeLogGroups": 10.0,
    "FilterLogEvents": 10.0,
    "FilterLogEvents us-east-1": 25.0,
    **{f"FilterLogEvents {region}": 5.0 for region in _SLOW_REGIONS},
}
"""Requests a second of an account in a region, whoever asks ("CloudWatch Logs quotas" in its user guide); AWS
raises that of FilterLogEvents for nobody. Where an account has another there is `requests_per_second`."""


class LogsClient(Protocol):
    """boto3's client of CloudWatch Logs, as far as it is used."""

    def describe_log_groups(self, **asked: Any) -> Reply:
        """`logGroups`, `nextToken`."""

    def filter_log_events(self, **asked: Any) -> Reply:
        """`events`, `nextToken`."""


_DESCRIBE: Operation[LogsClient] = Operation(
    "DescribeLogGroups", "logGroups", lambda client: client.describe_log_groups
)


class GroupRule(Struct, frozen=True):
    """Which groups, and from when on.

    name: a group's name or ARN; one that ends in `/` or `*` is a prefix (`/` alone: every group whose name
    begins so, and all others too). start: epoch ms of the first event wanted; None = from when the
    service began, or was stopped, and all of a group that was born since, or in the day before.
    """

    name: str
    start: int | None = None

    @property
    def prefix(self) -> str | None:
        """What names must begin with; None when the rule is one group's exact name."""
        if self.group == "/":
            return ""
        return self.group.rstrip("*") if self.group.endswith(("/", "*")) else None

    @property
    def region(self) -> str:
        """The region in an ARN, "" for a name."""
        return self.name.split(":")[3] if self.name.startswith("arn:") else ""

    @property
    def account(self) -> str:
        """The account in an ARN, "" for a name."""
        return self.name.split(":")[4] if self.name.startswith("arn:") else ""

    def foreign(self, own: str) -> str:
        """Return its account where that is not the own one; "" when it is, or is not known to be another."""
        return self.account if own and self.account not in {"", own} else ""

    @property
    def group(self) -> str:
        """The name in an ARN, or the name itself."""
        return self.name.split(":log-group:")[-1].removesuffix(":*")

    def covers(self, group: str) -> bool:
        """Tell whether a group is meant."""
        return group == self.group if self.prefix is None else group.startswith(self.prefix)


class Born(Struct, frozen=True):
    """When a group was created, and from when on its events are wanted (None = see `GroupRule`).

    by_query: it is of a class that FilterLogEvents refuses. days: how long its events are kept, 0 = for ever.
    """

    created: int
    start: int | None
    by_query: bool = False
    days: int = 0

    def oldest(self, now: int) -> int:
        """Return from when on (epoch ms) its events are kept."""
        return now - self.days * 86_400_000 if self.days else 0


class Wider(Struct, frozen=True):
    """What is read besides: of a monitoring account linked ones' groups; by queries Infrequent Access."""

    linked: bool = False
    queries: bool = False


class LogGroups:
    """The groups that rules cover. service: for messages. born: of those found, by the target's key."""

    def __init__(
        self,
        api: Api[LogsClient],
        service: str,
        regions: Iterable[str],
        rules: Iterable[GroupRule],
        wider: Wider,
    ) -> None:
        self._api, self._service, self._rules = api, service, tuple(rules)
        self._linked, self._queries = wider.linked, wider.queries
        self._regions = tuple(dict.fromkeys((*regions, *(r.region for r in self._rules if r.region))))
        self.born: dict[str, Born] = {}
        self._told: set[str] = set()
        self._unreadable: dict[GroupRule, str] = {}

    def targets(self) -> Iterable[Target | SourceError]:
        """Return every group that a rule covers; a region that fails does not hide the others."""
        found: set[GroupRule] = set()
        failed = False
        for region in self._regions:
            try:
                for target, rules in self._groups(region):
                    found.update(rules)
                    yield target
            except SourceError as error:
                failed = True
                yield error
        for rule in () if failed else self._rules:
            if rule.prefix is None and rule not in found:
                where = f"{rule.region or ', '.join(self._regions)}, {self._api.account.where}"
                yield self._why_not(rule, where)

    def _why_not(self, rule: GroupRule, where: str) -> Missing:
        """Return why a group that is named exactly is not read: there is none, or one that AWS keeps."""
        kind = self._unreadable.get(rule, "")
        if not kind:
            return Missing(f"no log group {rule.name}", where, "create it, or correct its name")
        rare = "set infrequent_access: true to read it by queries, at a price, or " if kind == _RARE else ""
        hint = f"{rare}let its logs go to a group of class STANDARD: its class cannot be changed"
        return Missing(f"log group {rule.name} is of class {kind}, which is not read", where, hint)

    def _groups(self, region: str) -> Iterator[tuple[Target, list[GroupRule]]]:
        """Yield the readable groups of a region, each with the rules that cover it."""
        own = self._api.account.account_id
        rules = [rule for rule in self._rules if rule.region in {"", region}]
        for account in dict.fromkeys(rule.foreign(own) for rule in rules):
            wanted = [rule for rule in rules if rule.foreign(own) == account]
            for group in self._found(region, account, wanted).values():
                owner, name = group["arn"].split(":")[4], group["logGroupName"]
                foreign = bool(own) and owner != own and (bool(account) or self._linked)
                covering = [rule for rule in wanted if rule.covers(name)]
                target = (
                    Target(f"{region}/{owner}:{name}", owner, region, group["arn"].removesuffix(":*"))
                    if foreign
                    else Target(f"{region}/{name}", owner, region, name)
                )
                if not self._readable(target, group):
                    self._unreadable.update(dict.fromkeys(covering, str(group["logGroupClass"])))
                else:
                    by_query = not is_readable(group)
                    start, days = _start_of(name, covering), group.get("retentionInDays", 0)
                    self.born[target.key] = Born(group["creationTime"], start, by_query, days)
                    yield target, covering

    def _found(self, region: str, account: str, rules: list[GroupRule]) -> dict[str, Reply]:
        """Return the groups of one account (or of all that are linked) by ARN."""
        found: dict[str, Reply] = {}
        for prefix in widest(rule.prefix for rule in rules):
            found.update((one["arn"], one) for one in self._described(region, account, prefix))
        names = {one["logGroupName"] for one in found.values()}
        for rule in rules:
            if rule.prefix is None and rule.group not in names:
                # names are sorted: the group itself comes before all that only begin with its name
                groups = self._described(region, account, rule.group)
                first = takewhile(lambda one: one["logGroupName"] == rule.group, groups)  # noqa: B023
                found.update((one["arn"], one) for one in first)
        return found

    def _described(self, region: str, account: str, prefix: str) -> Iterator[Reply]:
        """Yield the groups whose name begins with a prefix, by name. account: "" = the own one."""
        asked: dict[str, Any] = {"logGroupNamePrefix": prefix} if prefix else {}
        if account or self._linked:
            asked["includeLinkedAccounts"] = True
        if account:
            asked["accountIdentifiers"] = [account]
        place = f"{prefix or 'every group'} in {region}{f' of {account}' if account else ''}"
        for reply in self._api.pages(region, _DESCRIBE, place, "nextToken", **asked):
            yield from reply["logGroups"]

    def _readable(self, target: Target, group: Reply) -> bool:
        readable = is_readable(group, queries=self._queries)
        if not readable and target.key not in self._told:
            self._told.add(target.key)
            telemetry.target_unreadable(self._service, target.key, f"log class {group['logGroupClass']}")
        return readable


def event_of(target: Target, event: Reply) -> dict[str, str | int]:
    """Return an event as it goes to Devo."""
    return {
        "logGroup": target.detail.split(":log-group:")[-1],
        "logStream": event["logStreamName"],
        "timestamp": event["timestamp"],
        "ingestionTime": event["ingestionTime"],
        "eventId": event["eventId"],
        "message": event["message"],
        "account": target.account,
        "region": target.region,
    }


_MEMBERS = frozenset(("logStreamName", "timestamp", "ingestionTime", "message", "eventId"))


def whole(event: Reply, start: int, equal: Counter[str]) -> Reply:
    """Return an event with all of its members, each of which AWS's model calls optional.

    start: of its window. equal: how many equal ones without an id it has brought.
    """
    if event.keys() >= _MEMBERS and None not in event.values():
        return event
    told = {name: value for name, value in event.items() if value is not None}
    ms = told.get("timestamp", told.get("ingestionTime", start))
    key = fingerprint(*sorted(told.items()))
    equal[key] += 1
    rest = {"logStreamName": "", "message": "", "eventId": f"{key}{equal[key]:08d}"}
    return {**rest, "timestamp": ms, "ingestionTime": ms, **told}


def is_readable(group: Reply, *, queries: bool = False) -> bool:
    """Tell whether FilterLogEvents, or else queries, read a group as DescribeLogGroups shows it."""
    kind = group.get("logGroupClass", _STANDARD)
    return bool(kind == _STANDARD or (queries and kind == _RARE))


def widest(prefixes: Iterable[str | None]) -> list[str]:
    """Return the prefixes that no other one contains."""
    kept: list[str] = []
    for prefix in sorted({one for one in prefixes if one is not None}):
        if not any(prefix.startswith(other) for other in kept):
            kept.append(prefix)
    return kept


def _start_of(group: str, rules: Iterable[GroupRule]) -> int | None:
    """Return the start of the rule that says most about a group: its own name, else the longest prefix."""
    covering = [rule for rule in rules if rule.covers(group)]
    best = max(covering, key=lambda rule: (rule.prefix is None, len(rule.name)))
    return best.start
