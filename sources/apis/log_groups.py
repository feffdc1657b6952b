"""Which log groups there are: those that the rules cover, listed in their regions."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

from msgspec import Struct

from sources import telemetry
from sources.apis.cloudwatch import Api, Operation
from sources.apis.poll import Target
from sources.errors import Missing, SourceError

_READABLE = "STANDARD"

Reply = Mapping[str, Any]


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
    begins so, and all others too). start: epoch ms of the first event wanted; None = from now on, and all
    of a group that is younger than a day.
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
        """The region that an ARN tells, "" for a name."""
        return self.name.split(":")[3] if self.name.startswith("arn:") else ""

    @property
    def group(self) -> str:
        """The name that an ARN tells, or the name."""
        return self.name.split(":log-group:")[-1].removesuffix(":*")

    def covers(self, group: str) -> bool:
        """Tell whether a group is meant."""
        return group == self.group if self.prefix is None else group.startswith(self.prefix)


class Born(Struct, frozen=True):
    """When a group was created, and from when on its events are wanted (None = see `GroupRule`)."""

    created: int
    start: int | None


class LogGroups:
    """The groups that rules cover. service: for messages. born: of those found, by the target's key."""

    def __init__(
        self, api: Api[LogsClient], service: str, regions: Iterable[str], rules: Iterable[GroupRule]
    ) -> None:
        self._api, self._service, self._rules = api, service, tuple(rules)
        self._regions = tuple(dict.fromkeys((*regions, *(r.region for r in self._rules if r.region))))
        self.born: dict[str, Born] = {}
        self._told: set[str] = set()

    def targets(self) -> Iterable[Target | SourceError]:
        """Return every group that a rule covers; a region that fails does not hide the others."""
        found: set[str] = set()
        failed = False
        for region in self._regions:
            try:
                for target in self._groups(region):
                    found.add(target.detail)
                    yield target
            except SourceError as error:
                failed = True
                yield error
        for rule in () if failed else self._rules:
            if rule.prefix is None and rule.group not in found:
                where = f"{rule.region or ', '.join(self._regions)}, {self._api.account.where}"
                yield Missing(f"no log group {rule.group}", where, "create it, or correct its name")

    def _groups(self, region: str) -> Iterator[Target]:
        rules = [rule for rule in self._rules if rule.region in {"", region}]
        found: dict[str, Reply] = {}
        for prefix in widest(rule.prefix for rule in rules):
            found.update((one["logGroupName"], one) for one in self._described(region, prefix))
        for rule in rules:
            if rule.prefix is None and rule.group not in found:
                # names are sorted: the group itself comes before all that only begin with its name
                first = islice(self._described(region, rule.group), 1)
                found.update((rule.group, one) for one in first if one["logGroupName"] == rule.group)
        for name, group in found.items():
            target = Target(f"{region}/{name}", group["arn"].split(":")[4], region, name)
            if self._readable(target, group):
                self.born[target.key] = Born(group["creationTime"], _start_of(name, rules))
                yield target

    def _described(self, region: str, prefix: str) -> Iterator[Reply]:
        """Yield the groups whose name begins with a prefix, by name."""
        asked = {"logGroupNamePrefix": prefix} if prefix else {}
        place = f"{prefix or 'every group'} in {region}"
        for reply in self._api.pages(region, _DESCRIBE, place, "nextToken", **asked):
            yield from reply["logGroups"]

    def _readable(self, target: Target, group: Reply) -> bool:
        kind = group.get("logGroupClass", _READABLE)
        if kind != _READABLE and target.key not in self._told:
            self._told.add(target.key)
            telemetry.target_unreadable(self._service, target.key, f"log class {kind}")
        return bool(kind == _READABLE)


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
