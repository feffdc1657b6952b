"""GuardDuty's findings, from its API."""

from collections.abc import Mapping
from math import ceil
from threading import Event
from typing import Literal

from flows.catalogue import build
from flows.catalogue.calls import ApiCall, polls
from flows.catalogue.delays import max_reach, overlap, reach
from flows.catalogue.filters import sifted
from flows.catalogue.probe import Found, Probe, ProbeTarget
from flows.catalogue.service import ConfiguredService, Service
from flows.catalogue.tagging import one_table
from flows.config.polled import PolledSettings
from flows.config.types import OneOrMany
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.poll import Poll
from sources.aws.account import Account, required
from sources.aws.limiter import Limiters
from sources.organization.accounts import listed
from sources.organization.everywhere import Administered
from transforms.setting import setting

_PAGE = 50
_DEFAULT = GuardDutyOptions(())


class GuardDutySettings(PolledSettings):
    """`aws-guardduty`: GuardDuty findings."""

    types: OneOrMany[Literal["aws-guardduty"]] = setting(("aws-guardduty",), example=["aws-guardduty"])
    """One type"""
    collect_archived: bool = setting(default=True, example=False, ours=True)
    """Collect archived findings too; suppression rules archive at birth"""
    overlap_seconds: int = overlap(_DEFAULT.overlap_seconds, what="updates")
    reach_seconds: int = reach(
        _DEFAULT.reach_seconds, "how far back one poll an hour reaches, for updates that AWS shows hours late"
    )
    max_reach_seconds: int = max_reach(_DEFAULT.max_reach_seconds)


def _poll(unit: ConfiguredService[GuardDutySettings], limiters: Limiters, drain: Event) -> Poll:
    archived = unit.options.collect_archived
    leaves_out = unit.organization.directory.leaves_out if unit.organization else None
    chosen = build.api_options(GuardDutyOptions, unit, archived=archived, leaves_out=leaves_out)
    return GuardDuty(unit.account, chosen, limiters, drain)


def _detector(_asked: ProbeTarget[GuardDutySettings], found: Found) -> Mapping[str, object] | None:
    detectors = found["guardduty:ListDetectors"]
    return {"DetectorId": detectors[0], "MaxResults": 1} if detectors else None


def _finding(_asked: ProbeTarget[GuardDutySettings], found: Found) -> Mapping[str, object] | None:
    ids = found.get("guardduty:ListFindings")
    return {"DetectorId": found["guardduty:ListDetectors"][0], "FindingIds": ids[:1]} if ids else None


def _members(account: Account, region: str) -> frozenset[str]:
    """Return the accounts whose findings an administrator's detector has."""
    client, where = account.client("guardduty", region), f"members in {region}, {account.where}"
    found: set[str] = set()
    for detector in listed(client, "ListDetectors", "DetectorIds", where, "guardduty:ListDetectors"):
        asked = {"DetectorId": detector, "OnlyAssociated": "true"}
        for one in listed(client, "ListMembers", "Members", where, "guardduty:ListMembers", **asked):
            if required(one, "RelationshipStatus", where) == "Enabled":
                found.add(required(one, "AccountId", where))
    return frozenset(found)


GUARDDUTY = Service(
    name="aws-guardduty",
    about="GuardDuty's findings",
    service_key="aws-guardduty",
    settings=GuardDutySettings,
    source=build.polled(_poll, build.as_configured),
    transform=sifted(one_table("cloud.aws.guardduty.findings")),
    administered=Administered("guardduty.amazonaws.com", "guardduty:ListMembers", _members),
    event_name=("type",),
    calls=(
        ApiCall("guardduty:ListDetectors", polls),
        ApiCall(
            "guardduty:ListFindings", lambda at: polls(at) + ceil(at.guess.findings / _PAGE), "detector/*"
        ),
        ApiCall("guardduty:GetFindings", polls, "detector/*"),
    ),
    probes=(
        Probe(
            "guardduty:ListDetectors",
            "DetectorIds",
            lambda *_: {"MaxResults": 1},
            ("there is no detector", "switch GuardDuty on in this region, or correct regions"),
        ),
        Probe("guardduty:ListFindings", "FindingIds", _detector),
        Probe("guardduty:GetFindings", "Findings", _finding),
    ),
    protected=True,
)
