"""The accounts of an organization and the regions that each has enabled, as AWS tells them at the moment.

Asked with the identity of the management account or of a delegated administrator: organizations:ListAccounts,
and for organizational units organizations:ListAccountsForParent and ListOrganizationalUnitsForParent. Regions
are asked with the identity of the account itself: account:ListRegions, or ec2:DescribeRegions where that is
denied. Which accounts are wanted is decided here without AWS (`choose`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from sources.aws.account import Account
from sources.aws.replies import call, required
from sources.errors import Denied, SourceError, Transient, translate

_ACCOUNT = re.compile(r"\d{12}")
_PARENT = re.compile(r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32}")
"""As the API's reference has them: organizational units and the root."""

_ENABLED = ("ENABLED", "ENABLED_BY_DEFAULT")
_PAGES, _DEPTH = 10_000, 6
"""Bounds on what AWS answers: pages of one listing, and units within units, of which AWS allows five."""


class MemberAccount(Struct, frozen=True):
    """An account of an organization. state: ACTIVE, SUSPENDED, PENDING_CLOSURE …, as AWS says it.

    joined: when it became part of the organization, aware; None = AWS does not say.
    """

    number: str
    name: str
    state: str
    joined: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether anything can be asked of it; one that is suspended rests."""
        return self.state == "ACTIVE"


class AccountSelection(Struct, frozen=True):
    """Which accounts are wanted: numbers, units `ou-…` with all below them, a root `r-…`.

    include: () = every account. exclude: wins over include, whatever names an account there.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def parents(self) -> tuple[str, ...]:
        """The units and roots among them, each once: whose accounts must be known to choose."""
        named = dict.fromkeys((*self.include, *self.exclude))
        return tuple(one for one in named if _PARENT.fullmatch(one))

    @property
    def strange(self) -> tuple[str, ...]:
        """What is neither an account's number nor a unit."""
        named = (*self.include, *self.exclude)
        return tuple(one for one in named if not (_ACCOUNT.fullmatch(one) or _PARENT.fullmatch(one)))


def choose(
    members: Iterable[MemberAccount], below: Mapping[str, frozenset[str]], selection: AccountSelection
) -> list[MemberAccount]:
    """Return the members that a selection wants, whatever their state, in the order of their numbers.

    below: unit or root → numbers of all accounts in it and under it.
    """
    wanted = _numbers(selection.include, below)
    unwanted = _numbers(selection.exclude, below)
    found = {
        one.number: one
        for one in members
        if (not selection.include or one.number in wanted) and one.number not in unwanted
    }
    return [found[number] for number in sorted(found)]


def _numbers(named: Iterable[str], below: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(below.get(one, frozenset({one})) for one in named))


class Organization:
    """An organization, asked by one of its accounts. Raises SourceError; asks nothing before it must.

    management: the number of its management account, "" before its accounts were listed. left_out: those that
    the last selection did not want.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.management = ""
        self.left_out: frozenset[str] = frozenset()

    def members(self, selection: AccountSelection) -> list[MemberAccount]:
        """Return the accounts that a selection wants."""
        below = {parent: frozenset(self._below(parent, _DEPTH)) for parent in selection.parents}
        everyone = list(self._everyone())
        found = choose(everyone, below, selection)
        unwanted = _numbers(selection.exclude, below) | {one.number for one in everyone}
        self.left_out = unwanted - {one.number for one in found}
        return found

    def administrators(self, principal: str) -> frozenset[str]:
        """Return the accounts that a service is delegated to. principal: `guardduty.amazonaws.com`."""
        api, key = "ListDelegatedAdministrators", "DelegatedAdministrators"
        found = self._pages(api, key, ServicePrincipal=principal)
        return frozenset(str(required(one, "Id", self._where(api))) for one in found)

    def _everyone(self) -> Iterator[MemberAccount]:
        for one in self._pages("ListAccounts", "Accounts"):
            self.management = _management(one) or self.management
            yield _member(one, self._where("ListAccounts"))

    def _below(self, parent: str, depth: int) -> Iterator[str]:
        """Yield the numbers of the accounts in a unit and in those under it."""
        if not depth:
            raise SourceError("units lie too deep", self._where(parent), "AWS allows five levels of them")
        for one in self._pages("ListAccountsForParent", "Accounts", ParentId=parent):
            yield required(one, "Id", self._where(parent))
        for unit in self._pages("ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=parent):
            yield from self._below(required(unit, "Id", self._where(parent)), depth - 1)

    def _pages(self, api: str, key: str, **asked: str) -> Iterator[Mapping[str, Any]]:
        client = self._account.client("organizations", "")
        where = self._where(" ".join((api, *asked.values())))
        return listed(client, api, key, where, f"organizations:{api}", **asked)

    def _where(self, what: str) -> str:
        return f"{what}, {self._account.where}"


def _member(told: Mapping[str, Any], where: str) -> MemberAccount:
    """Return an account; `Status` is how AWS said `State` until 2026."""
    number = required(told, "Id", where)
    state = str(told.get("State") or required(told, "Status", where))
    return MemberAccount(number, str(told.get("Name", "")), state, told.get("JoinedTimestamp"))


def _management(told: Mapping[str, Any]) -> str:
    """Return whose organization an account is in: `arn:aws:organizations::MANAGEMENT:account/o-…/…`."""
    return "".join(str(told.get("Arn", "")).split(":")[4:5])


def enabled_regions(account: Account) -> frozenset[str]:
    """Return the regions that an account has enabled, asked with its own identity. Raises SourceError."""
    where = f"regions, {account.where}"
    try:
        client = account.client("account", "")
        asked: dict[str, Any] = {"RegionOptStatusContains": list(_ENABLED)}
        found = list(listed(client, "ListRegions", "Regions", where, "account:ListRegions", **asked))
        enabled = [one for one in found if one.get("RegionOptStatus") in _ENABLED]
    except Denied:
        client = account.client("ec2", "")
        enabled = list(listed(client, "DescribeRegions", "Regions", where, "ec2:DescribeRegions"))
    if not enabled:
        raise Transient("no region is enabled", where, "that cannot be; it is asked again")
    return frozenset(str(required(one, "RegionName", where)) for one in enabled)


def listed(
    client: Any, api: str, key: str, where: str, action: str, **asked: Any
) -> Iterator[Mapping[str, Any]]:
    """Yield what all pages of a listing hold; a page may be empty and not the last one."""
    token = ""
    for _ in range(_PAGES):
        try:
            reply = call(client, api, {**asked, **({"NextToken": token} if token else {})})
        except (ClientError, BotoCoreError) as error:
            raise translate(error, where, action) from error
        yield from required(reply, key, where)
        following = str(reply.get("NextToken") or "")
        if not following:
            return
        if following == token:
            break
        token = following
    raise Transient("pages without an end", where, "it is asked again from the first one")
