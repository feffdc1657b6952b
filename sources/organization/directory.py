"""What an input knows of its organization, for all of its services: accounts, their regions, who signs.

Accounts are listed anew every `refresh_seconds` by whoever asks first; regions of each account once an hour,
each at its own moment. Memory: a kibibyte or two an account, and there are at most `MOST_ACCOUNTS`.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from pydantic import SecretStr

from sources.aws.account import Account
from sources.aws.credentials import Hop
from sources.aws.partitions import name_of
from sources.errors import BadCredentials, Denied, SourceError
from sources.organization import telemetry
from sources.organization.accounts import AccountSelection, MemberAccount, Organization, enabled_regions
from sources.organization.identity import MemberIdentity, SharedClients
from transforms.locks import Guard, guarded

MOST_ACCOUNTS = 50_000
"""AWS grants an organization no more."""

_REGIONS_SECONDS, _AGAIN_SECONDS = 3600.0, 60.0
_JITTER = random.SystemRandom()

_LOCKS = (
    Guard("_lock", ("_due", "_administrators")),
    Guard("_lock", ("_members", "stale"), read_freely=True),
)


class OrganizationScope(Struct, frozen=True):
    """What of an organization is read, and by which role.

    role: its name, with its path. regions: only these, () = all that an account has enabled.
    """

    role: str
    external_id: SecretStr | None = None
    selection: AccountSelection = AccountSelection()
    regions: tuple[str, ...] = ()
    refresh_seconds: float = 600.0


def seconds_after(errors: Iterable[SourceError], refresh: float) -> float:
    """Return when an account is looked into again after what failed there.

    A permission takes as long as if nothing had failed: a region that a service control policy denies stays
    so, ListRegions shows it enabled all the same, and CloudTrail has an event of every denial. A role may be
    given any moment.
    """
    lasting = all(isinstance(one, Denied) and not isinstance(one, BadCredentials) for one in errors)
    return refresh if lasting else min(refresh, _AGAIN_SECONDS)


class KnownAccount(Struct):
    """An account: what the organization tells of it, who asks in it, and its regions as they were last."""

    about: MemberAccount
    identity: MemberIdentity
    regions: tuple[str, ...] = ()
    regions_until: float = 0.0


@guarded(_LOCKS)
class Directory:
    """The organization of one input. base: who asks for its accounts and assumes their roles. Thread-safe.

    stale: why the accounts could not be listed anew; those known before go on meanwhile.
    """

    def __init__(
        self, base: Account, scope: OrganizationScope, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.base, self.scope = base, scope
        self.clients = SharedClients(base)
        self._organization, self._clock = Organization(base), clock
        self._lock = threading.RLock()
        self._members: dict[str, KnownAccount] = {}
        self._administrators: dict[str, tuple[float, frozenset[str]]] = {}
        self._due = 0.0
        self.stale: SourceError | None = None

    def members(self) -> Sequence[KnownAccount]:
        """Return the accounts that are wanted in any state. Raises SourceError while none is known."""
        with self._lock:
            if self._clock() >= self._due:
                try:
                    self._list()
                except SourceError as error:
                    if not self._members:
                        raise
                    self.stale = error
            return list(self._members.values())

    def _list(self) -> None:
        found = self._organization.members(self.scope.selection)
        if not found:
            hint = "correct organization.include and exclude, or let the accounts join"
            raise SourceError("no account of the organization is wanted", self.base.where, hint)
        if len(found) > MOST_ACCOUNTS:
            raise SourceError(
                f"more than {MOST_ACCOUNTS} accounts", self.base.where, "name units in organization.include"
            )
        before = self._members
        self._members = {one.number: self._member(one, before.get(one.number)) for one in found}
        self._due, self.stale = self._clock() + self.scope.refresh_seconds, None
        if self._members.keys() != before.keys():
            resting = sum(not one.active for one in found)
            telemetry.accounts_changed(
                self.base.name,
                len(self._members.keys() - before.keys()),
                len(before.keys() - self._members.keys()),
                len(found) - resting,
                resting,
            )

    def _member(self, about: MemberAccount, before: KnownAccount | None) -> KnownAccount:
        if before is None:
            return KnownAccount(about, MemberIdentity(self.clients, self._hop(about.number)))
        before.about = about
        return before

    def name(self, number: str) -> str:
        """Return an account's name in the organization, "" while it is not known."""
        found = self._members.get(number)
        return found.about.name if found else ""

    @property
    def management(self) -> str:
        """The number of the management account, "" while it is not known."""
        return self._organization.management

    def leaves_out(self, number: str) -> bool:
        """Tell whether an account is known, and not wanted; one that joined just now is not known yet."""
        return number in self._organization.left_out

    def role(self, number: str) -> str:
        """Return the ARN of the role in an account."""
        return f"arn:{name_of(self.base.link.home)}:iam::{number}:role/{self.scope.role}"

    def _hop(self, number: str) -> Hop:
        return Hop("organization", self.role(number), self.scope.external_id)

    def regions_of(self, member: KnownAccount) -> tuple[str, ...]:
        """Return the regions of an account that are wanted; AWS is asked when what is known is old.

        Where an account lets nobody ask, those that the configuration names are taken. Raises SourceError.
        """
        if self._clock() < member.regions_until:
            return member.regions
        wanted = self.scope.regions
        try:
            enabled = enabled_regions(member.identity)
            found = tuple(one for one in wanted if one in enabled) if wanted else tuple(sorted(enabled))
            until = _REGIONS_SECONDS * _JITTER.uniform(0.5, 1)
        except SourceError as error:
            found = member.regions or (wanted if isinstance(error, Denied) else ())
            until = seconds_after([error], self.scope.refresh_seconds)
            if not found:
                raise
        member.regions, member.regions_until = found, self._clock() + until
        return found

    def administrators(self, principal: str) -> frozenset[str]:
        """Return the accounts to which a service of AWS is delegated. Raises SourceError.

        The management account is never among them, although it may have the service's data as they do.
        """
        with self._lock:
            until, found = self._administrators.get(principal, (0.0, frozenset()))
            if self._clock() >= until:
                found = self._organization.administrators(principal)
                self._administrators[principal] = self._clock() + self.scope.refresh_seconds, found
            return found
