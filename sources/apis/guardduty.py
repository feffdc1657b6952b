"""GuardDuty findings: every version of every finding, of all detectors of the regions.

Parallel unit: a detector of a region. Guarantee: at least once, every version that GetFindings showed;
GuardDuty updates findings in place, so a version replaced before it was fetched exists no more. Resume:
from the last position, repeats dropped by (id, updatedAt). Cost: two requests per poll and detector when
nothing happens, three per 50 findings while catching up; free of charge.

One event is one finding as the service itself writes it: the names of the wire (`schemaVersion`,
`updatedAt`), which are also those of EventBridge, of exports to S3 and of every published example, and not
boto3's (`SchemaVersion`), which exist in Python only. Fields newer than the installed boto3 stay. Only times
that the wire has as numbers become ISO 8601, as EventBridge has them. Archived findings are findings
(suppression rules archive at birth): they are collected by default.

Paging while findings are updated: an update moves a finding to the end of the list, so everything behind it
moves up, and with page numbers or offsets one finding slips through at each page border. So pages are not
followed. Each request lists from a position that is proven: an id that was fetched before with version v
stands at v or later, hence everything before v has been listed, and the next request begins at v. Only
when one millisecond holds more than a page are pages followed, and then the list counts once it came out
the same twice. The position kept is never later than the poll's beginning, and the next poll reaches an
overlap further back: for updates that become visible late. Once an hour a poll reaches back over everything
that is not final, six hours by default (as long as GuardDuty may hold an update back) and by itself more.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from sources import telemetry
from sources.apis.api import Api, Forgotten, Operation, fingerprint, line
from sources.apis.poll import Page, Position, State, Target, restored, stored
from sources.apis.window import Lateness, ReachRule, Window, late_events, now_ms, parse_iso
from sources.aws.account import Account, required
from sources.aws.limiter import Limiters
from sources.errors import SourceError, Transient
from transforms.block import Block, Origin

_PAGE = 50
_LOOK_MS = 3_600_000
"""From one poll that reaches all the way back to the next."""

DAYS_KEPT, _DAY = 90, 86_400_000
_KEPT = f"GuardDuty keeps findings {DAYS_KEPT} days; older ones are in its bucket of findings only"
_WIRE = "CollectorWireBody"
_DETECTORS: Operation[Any] = Operation("ListDetectors", "DetectorIds", lambda client: client.list_detectors)
_LIST: Operation[Any] = Operation("ListFindings", "FindingIds", lambda client: client.list_findings)
_GET: Operation[Any] = Operation("GetFindings", _WIRE, lambda client: client.get_findings)


class GuardDutyOptions(Struct, frozen=True):
    """What the service may choose. start: epoch ms of the first update wanted, None = from now on.

    archived: collect archived findings too. overlap_seconds: how far each poll reaches back. reach and
    max_reach: how far one does each hour, at least and at most.
    service: name in the catalogue. leaves_out: of an organization, whether an account's findings, which an
    administrator has too, are not wanted; an event's account is then its finding's.
    """

    regions: tuple[str, ...]
    start: int | None = None
    archived: bool = True
    period_seconds: float = 300
    overlap_seconds: int = 300
    reach_seconds: int = 21_600
    max_reach_seconds: int = 86_400
    service: str = "guardduty"
    leaves_out: Callable[[str], bool] | None = None


class FindingsPosition(Position, frozen=True, kw_only=True):
    """Where a detector stands; times in epoch ms.

    first: of the first update wanted. at: before it everything has been listed. final: what is older is not
    listed any more (0 = the overlap before `at`). looked: when a poll reached back to it last. polled: when
    all was listed last. seen: finding id → updatedAt. late: how late updates are. until: of a second look,
    before when updates are.
    """

    VERSION: ClassVar[int] = 2

    first: int = field(name="from")
    at: int
    final: int = 0
    looked: int = 0
    polled: int = 0
    until: int = 0
    seen: dict[str, int]
    late: Lateness = Lateness()


class GuardDuty:
    """The `Poll` of GuardDuty: one poll reads everything up to now. State: `FindingsPosition`."""

    def __init__(
        self,
        account: Account,
        options: GuardDutyOptions,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name, self.period_seconds = options.service, options.period_seconds
        self._account, self._options, self._clock = account, options, clock
        self._api = Api[Any](account, "guardduty", limiters, drain, clock)
        self._forgotten = Forgotten(self.name)
        least = max(options.reach_seconds, options.overlap_seconds) * 1000
        self._rule = ReachRule(least, max(least, options.max_reach_seconds * 1000))

    def targets(self) -> Iterable[Target | SourceError]:
        """Return every detector of every region; a region that fails does not hide the others."""
        for region in self._options.regions:
            try:
                yield from self._detectors(region)
            except SourceError as error:
                yield error

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """List and fetch what has been updated since, oldest update first."""
        asked_at = self._clock()
        now = self._api.by_aws(asked_at)
        start = target.begin(now) if self._options.start is None else self._options.start
        found = restored(FindingsPosition, state, f"{self.name} {target.key}")
        position = found or FindingsPosition(first=start, at=start, final=start, seen={})
        self._forgotten.clamped(target.key, position.polled or position.at, now - DAYS_KEPT * _DAY, _KEPT)
        at, final = position.at, position.final or position.at - self._overlap
        deep = now - position.looked >= _LOOK_MS
        since = max(position.first, final if deep else max(final, at - self._overlap))
        versions, late = dict(position.seen), position.late
        polled = position.polled or position.at
        known = min(now, polled + int(self.period_seconds * 1000))
        ids: Sequence[str] = ()
        depth, more = 1, True
        while more:
            before = ids
            ids, more = self._list(target, since, depth, position.until)
            now = min(now, self._api.by_aws(asked_at))
            same = ids == before
            proven = _proven(ids, versions, since) if depth == 1 or same else since
            before_it = dict(versions)
            items = () if same and more else tuple(self._fresh(target, ids, versions, now))
            fresh = {key: ms for key, ms in versions.items() if ms > before_it.get(key, -1)}
            lateness = [max(0, known - ms) if ms < polled else 0 for ms in fresh.values()]
            told = late_events(lateness, self._rule.of(late))
            late = self._rule.after(late, told.most, now)
            at = max(at, min(proven, now))
            after = replace(position, at=at, final=final, late=late)
            if deep:  # what is old enough has now been listed for the last time
                final = max(final, min(at if more else now, now - self._rule.of(late)))
                after = replace(after, final=final, looked=position.looked if more else now)
            after = replace(after, polled=position.polled if more else now)
            if items or not more:
                after = replace(after, seen={key: ms for key, ms in versions.items() if ms >= after.final})
                upto, repeats = at if more else now, len(ids) - len(fresh)
                yield Page(items, stored(after), upto=upto, repeats=repeats, late=told, ids=fresh)
            if proven > since:
                since, depth, ids = proven, 1, ()
            elif same:
                depth, ids = depth * 2, ()

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more; of a finding only the newest version exists."""
        start = window.start
        at = FindingsPosition(first=start, at=start, final=start, seen=ids, until=window.end)
        yield from self.pages(target, stored(at))

    @property
    def _overlap(self) -> int:
        return self._options.overlap_seconds * 1000

    def _detectors(self, region: str) -> Iterator[Target]:
        for reply in self._api.pages(region, _DETECTORS, region, "NextToken", MaxResults=_PAGE):
            for detector in reply["DetectorIds"]:
                yield Target(f"{region}/{detector}", self._account.account_id, region, detector)

    def _list(self, target: Target, since: int, depth: int, until: int) -> tuple[tuple[str, ...], bool]:
        """Return the ids of `depth` pages from a position on, and whether there are more.

        A page without ids that carries a token is not the end.
        """
        wanted: dict[str, Any] = {"updatedAt": {"GreaterThanOrEqual": since}}
        if until:
            wanted["updatedAt"]["LessThan"] = until
        if not self._options.archived:
            wanted["service.archived"] = {"Equals": ["false"]}
        ids: list[str] = []
        filled = 0
        asked = {
            "DetectorId": target.detail,
            "FindingCriteria": {"Criterion": wanted},
            "SortCriteria": {"AttributeName": "updatedAt", "OrderBy": "ASC"},
            "MaxResults": _PAGE,
        }
        for reply in self._api.pages(target.region, _LIST, target.key, "NextToken", **asked):
            ids += reply["FindingIds"]
            filled += bool(reply["FindingIds"])
            if filled >= depth:
                return tuple(ids), bool(reply.get("NextToken"))
        return tuple(ids), False

    def _fresh(
        self, target: Target, ids: Sequence[str], versions: dict[str, int], now: int
    ) -> Iterator[Block]:
        """Fetch findings, remember their versions, and yield those whose version is new."""
        lines: dict[str, list[bytes]] = {}
        leaves_out, unwanted = self._options.leaves_out, 0
        for begin in range(0, len(ids), _PAGE):
            for finding in self._get(target, ids[begin : begin + _PAGE]):
                key, version = _version_of(finding, versions, now)
                if version > versions.get(key, -1):
                    versions[key] = version
                    whose = str(finding.get("accountId") or "") if leaves_out else ""
                    if leaves_out and leaves_out(whose):
                        unwanted += 1
                        continue
                    lines.setdefault(whose or target.account, []).append(line(finding))
        if unwanted:
            telemetry.events_dropped(self.name, "organization", unwanted)
        for account, theirs in lines.items():
            origin = Origin(self.name, account, target.region, target.detail)
            yield Block(b"".join(theirs), len(theirs), origin)

    def _get(self, target: Target, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return findings in their wire form."""
        where = f"GetFindings of {target.key}, {self._account.where}"
        client = self._account.client("guardduty", target.region)
        client.meta.events.register(
            "before-parse.guardduty.GetFindings", _keep_wire, unique_id="collector-wire"
        )
        asked = {"DetectorId": target.detail, "FindingIds": list(ids)}
        body = self._api.ask(target.region, _GET, target.key, **asked)[_WIRE]
        try:
            wire = json.loads(body, strict=False)  # it reads half surrogate pairs too
        except ValueError as error:
            raise Transient(
                f"reply is no JSON ({error})", where, "it was cut short; it is tried again"
            ) from error
        shape = client.meta.service_model.operation_model("GetFindings").output_shape.members["Findings"]
        found: list[dict[str, Any]] = readable(required(wire, "findings", where), shape)
        return found


def _proven(ids: Sequence[str], versions: dict[str, int], since: int) -> int:
    """Return a position before which everything has been listed: where the last known id stood before."""
    for key in reversed(ids):
        if key in versions:
            return max(since, versions[key])
    return since


def _version_of(finding: dict[str, Any], versions: dict[str, int], now: int) -> tuple[str, int]:
    """Return a finding's id and update; of one that does not tell them what names it, and when it was new."""
    try:
        return finding["id"], parse_iso(finding["updatedAt"])
    except (KeyError, TypeError, ValueError):
        key = fingerprint(line(finding))
        return key, versions.get(key, now)


def _keep_wire(response_dict: Any, customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Keep a reply's own bytes beside what botocore makes of it."""
    customized_response_dict[_WIRE] = response_dict["body"]


def readable(value: Any, shape: Any) -> Any:
    """Return a wire value with its numeric timestamps, by botocore's shape, in ISO 8601.

    Fields that the shape does not know pass as they are.
    """
    if shape.type_name == "timestamp":
        return _iso(value) if isinstance(value, int | float) else value
    if shape.type_name == "list" and isinstance(value, list):
        return [readable(one, shape.member) for one in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: readable(one, shape.value) for key, one in value.items()}
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {known.serialization.get("name", name): known for name, known in shape.members.items()}
        return {key: readable(one, members[key]) if key in members else one for key, one in value.items()}
    return value


def _iso(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
