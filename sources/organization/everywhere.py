"""The `Poll` of one API over all accounts of an organization.

Each account has a `Poll` of its own, which knows nothing of the others. A target's key has its account in it:
`eu-west-1/123456789012/…` for what is `eu-west-1/…` where an input has one account only; that former key is
told too, so that an input which becomes an organization goes on from where it stood.

What concerns one account stops no other: one that is suspended, or whose role is refused, rests with its
positions. Accounts are listed each at its own moment, a few at a time; what has been found is used at once.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from sources.apis.poll import Page, Poll, Rest, State, Target, account_of
from sources.apis.window import Window, to_ms
from sources.aws.account import Account
from sources.errors import BadCredentials, SourceError, Transient, translate
from sources.organization.directory import Directory, KnownAccount, seconds_after
from sources.threads import payer, works_for

LISTING_THREADS = 8
_YOUNG = timedelta(days=1)
"""Of an account that joined within it everything is wanted; of an older one what comes from now on."""

_JITTER = random.SystemRandom()
_ANYWHERE = ""
"""Stands for every region, where nobody knows in which ones an administrator has accounts' data."""

MakePoll: TypeAlias = Callable[[Account, tuple[str, ...], datetime | None], Poll]
"""From an account, its regions and its beginning (None = as configured) to its `Poll`."""

Covered: TypeAlias = Callable[[Account, str], frozenset[str]]
"""From an administrator and a region to the accounts whose data it has; its own is not among them."""


class Administered(Struct, frozen=True):
    """A service that accounts may leave to another one. principal: its name for Organizations.

    action: what tells whose data an administrator has.
    """

    principal: str
    action: str
    covered: Covered


class ServedApi(Struct, frozen=True):
    """Which API is read, and how often. name: of the service. administered: None = each account by itself."""

    name: str
    period_seconds: float
    administered: Administered | None = None


class _AccountTargets(Struct):
    """What was found in an account: due: when it is looked for again."""

    poll: Poll | None = None
    regions: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    rests: tuple[Rest, ...] = ()
    due: float = 0.0


class _Coverage(Struct, frozen=True):
    """What administrators have. covered: region → accounts. untold: what could not be learnt.

    among: the accounts that there were. due: when it is asked anew, at once for an account that has joined.
    """

    covered: Mapping[str, frozenset[str]] = {}
    untold: tuple[Rest | SourceError, ...] = ()
    among: frozenset[str] = frozenset()
    due: float = 0.0


class Everywhere:
    """The `Poll` of an organization. make: makes the one of an account."""

    def __init__(self, api: ServedApi, directory: Directory, make: MakePoll, drain: Event) -> None:
        self.name, self.period_seconds, self._administered = api.name, api.period_seconds, api.administered
        self._directory, self._make, self._drain = directory, make, drain
        self._listed: dict[str, _AccountTargets] = {}
        self._coverage = _Coverage()

    def targets(self) -> Iterable[Target | Rest | SourceError]:
        """Return the targets of all accounts, those found anew as they are found."""
        members = self._directory.members()
        if self._directory.stale:
            yield self._directory.stale
        before = self._listed
        self._listed = {one.about.number: before.get(one.about.number, _AccountTargets()) for one in members}
        now = time.monotonic()
        due = []
        for member in members:
            listed = self._listed[member.about.number]
            if not member.about.active:
                yield Rest(member.about.number)
            elif now >= listed.due:
                due.append(member)
            else:
                yield from _told(listed)
        if due and self._administered:
            self._learn_coverage(self._administered, members, now)
        yield from self._coverage.untold
        unknown = self._coverage.covered.get(_ANYWHERE, frozenset())
        yield from map(Rest, unknown)  # their positions stay, and they stay due
        due = [member for member in due if member.about.number not in unknown]
        name = f"{self.name}-accounts"
        with ThreadPoolExecutor(LISTING_THREADS, name, initializer=works_for, initargs=(payer(),)) as pool:
            for listed in pool.map(self._look, due):
                yield from _told(listed)

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Poll a target once, as its account's own `Poll` does."""
        poll = self._poll_of(target)
        if poll is not None:
            yield from poll.pages(replace(target, key=target.former), state)

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a finished range once more."""
        poll = self._poll_of(target)
        if poll is not None:
            yield from poll.recheck(replace(target, key=target.former), window, ids)

    def _poll_of(self, target: Target) -> Poll | None:
        listed = self._listed.get(account_of(target.key))
        return listed.poll if listed else None

    def _look(self, member: KnownAccount) -> _AccountTargets:
        """List the targets of an account; what fails leaves it with those that it had."""
        number = member.about.number
        listed = self._listed[number]
        before = listed.poll
        refresh = self._directory.scope.refresh_seconds
        try:
            found = self._found(member, listed)
        except Exception as error:  # noqa: BLE001 - told by who lists; the account's positions stay
            known = translate(error, f"{self.name} {number}")
            told = None if isinstance(known, BadCredentials) else known  # told by who signs
            listed.rests = (Rest(number, told),)
            listed.due = time.monotonic() + seconds_after([known], refresh) * _JITTER.uniform(0.5, 1)
            return listed
        errors = [one for one in found if isinstance(one, SourceError)]
        joined = to_ms(member.about.joined) if member.about.joined else 0
        mine = [_of(number, one, joined) for one in found if isinstance(one, Target)]
        if errors and listed.poll is before:  # a region that cannot be listed keeps its targets
            keys = {one.key for one in mine}
            mine += [one for one in listed.targets if one.key not in keys]
        listed.targets = tuple(mine)
        listed.rests = tuple(Rest(number, one) for one in errors)
        listed.due = time.monotonic() + seconds_after(errors, refresh) * _JITTER.uniform(0.5, 1)
        return listed

    def _found(self, member: KnownAccount, listed: _AccountTargets) -> Sequence[Target | Rest | SourceError]:
        """Return what an account's own `Poll` lists, made anew when its regions are others.

        A new one is used once it has listed: before, it knows of no log group since when it is there.
        """
        if self._drain.is_set():
            raise Transient("not asked", self.name, "the process drains")
        found, number, joined = self._directory.regions_of(member), member.about.number, member.about.joined
        covered = self._coverage.covered
        regions = tuple(region for region in found if number not in covered.get(region, ()))
        poll = listed.poll
        if poll is None or listed.regions != regions:
            young = joined if joined and datetime.now(UTC) - joined < _YOUNG else None
            poll = self._make(member.identity, regions, young)
        targets = list(poll.targets())
        listed.poll, listed.regions = poll, regions
        return targets

    def _learn_coverage(self, service: Administered, members: Sequence[KnownAccount], now: float) -> None:
        """Ask what administrators have, once a refresh: of each it takes a call or two in every region."""
        among = frozenset(one.about.number for one in members)
        if now < self._coverage.due and among <= self._coverage.among:
            return
        covered: dict[str, frozenset[str]] = {}
        untold = tuple(self._cover(service, members, covered))
        errors = [error for one in untold if (error := one.error if isinstance(one, Rest) else one)]
        pause = seconds_after(errors, self._directory.scope.refresh_seconds) * _JITTER.uniform(0.5, 1)
        self._coverage = _Coverage(covered, untold, among, now + pause)

    def _cover(
        self, service: Administered, members: Sequence[KnownAccount], covered: dict[str, frozenset[str]]
    ) -> Iterator[Rest | SourceError]:
        """Fill region → the accounts whose data an administrator among the members has.

        Where that is not known all others rest in that region, or `_ANYWHERE`: what is read twice would be
        sent twice. The management account may be an administrator too, which nobody delegates.
        """
        everyone = frozenset(one.about.number for one in members)
        try:
            delegated = self._directory.administrators(service.principal)
        except SourceError as error:
            covered[_ANYWHERE] = everyone
            yield error
            return
        others = everyone - delegated
        for member in members:
            number = member.about.number
            if number not in {*delegated, self._directory.management} or not member.about.active:
                continue
            try:
                regions = self._directory.regions_of(member)
            except SourceError as error:
                if number in delegated or not isinstance(error, BadCredentials):
                    covered[_ANYWHERE] = others
                    yield Rest(number, error)
                continue
            for region in regions:
                try:
                    theirs = service.covered(member.identity, region)
                except SourceError as error:
                    if number not in delegated and _administers_nobody(error):
                        continue
                    theirs = others
                    yield Rest(number, error)
                covered[region] = covered.get(region, frozenset()) | (theirs - {number})


def _administers_nobody(error: SourceError) -> bool:
    """Tell whether who answers so is not read (StackSets make no role in it), or is no administrator."""
    return isinstance(error, BadCredentials) or type(error) is SourceError


def _told(listed: _AccountTargets) -> Iterator[Target | Rest]:
    yield from listed.targets
    yield from listed.rests


def _of(number: str, target: Target, joined: int) -> Target:
    """Return a target of an account as one of the organization."""
    region, slash, rest = target.key.partition("/")
    return replace(target, key=f"{region}/{number}{slash}{rest}", former=target.key, born=joined)
