"""A role in each account of an organization, signed for over shared clients.

A boto3 client takes half a mebibyte, and its connections their TLS: a thousand accounts in seventeen regions
would need tens of thousands of them. Here all accounts share one client of each API and region. What differs
between accounts is who signs: whoever asks stands in a context variable while a call is made, and the shared
clients' credentials are those of whoever stands there.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials

from sources.aws.account import Account
from sources.aws.chain import ChainLink, assume, renewing
from sources.aws.credentials import Hop
from sources.aws.partitions import of_region
from sources.aws.renewal import RefusalEvents, RenewedCredentials, SessionKeys
from sources.aws.sessions import new_session
from sources.errors import RegionDisabled
from sources.organization.telemetry import account_admitted, account_refused

ASKED_AGAIN_SECONDS = 30.0
"""A role that is refused is asked for at most so often: of a thousand accounts without it, 33 a second. STS
counts these calls by the account and region of who asks, all together."""

_ASKS: ContextVar[RenewedCredentials] = ContextVar("asks")


class _WhoeverAsks(BotocoreCredentials):  # type: ignore[misc]
    """The credentials of the shared clients: of the account that stands in the context variable."""

    def __init__(self) -> None:
        super().__init__("", "", method="collector")

    @property
    def where(self) -> str:
        return _ASKS.get().where

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return _ASKS.get().get_frozen_credentials()

    def renew(self, why: str = "") -> None:
        _ASKS.get().renew(why)


class SignedAs:
    """A shared client, whose calls are signed by one account; nothing else of it differs."""

    def __init__(self, client: Any, keys: RenewedCredentials) -> None:
        self._client, self._keys = client, keys

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], /, *args: Any, **asked: Any) -> Any:
        before = _ASKS.set(self._keys)
        try:
            return method(*args, **asked)
        finally:
            _ASKS.reset(before)


class SharedClients:
    """The clients of an organization's accounts. base: who assumes the roles. Making it asks nothing."""

    def __init__(self, base: Account) -> None:
        self.base = base
        self._account: Account | None = None
        self._elsewhere: Any = None

    def client(self, service: str, region: str) -> Any:
        """Return the client of all accounts; region: "" = where the base asks STS."""
        if self._account is None:  # two at once make the same
            link: ChainLink = renewing(new_session(), self.base.link.home, _WhoeverAsks())
            self._account = Account(self.base.name, link=link)
        return self._account.client(service, region)

    def assume(self, hop: Hop, place: str) -> SessionKeys:
        """Assume a role where the base asks STS; see `chain.assume`.

        STS of a region assumes roles of accounts that have it switched on: where one has not, the region that
        all accounts of the partition have is asked, from then on for all of them.
        """
        base = self.base
        link, ask = base.link, partial(assume, hop=hop, sessions=base.sessions, name=base.name, where=place)
        try:
            return ask(self._elsewhere or link.sts)
        except RegionDisabled:
            partition = of_region(link.home)
            if self._elsewhere or partition is None or partition.home == link.home:
                raise
            elsewhere = base.client("sts", partition.home)
            keys = ask(elsewhere)
            self._elsewhere = elsewhere
            return keys


class MemberIdentity(Account):
    """A role in one account of an organization. Asks nothing before it must."""

    def __init__(self, clients: SharedClients, hop: Hop) -> None:
        base = clients.base
        super().__init__(base.name)
        self._shared, self._hop = clients, hop
        place = f"input {base.name}, organization {hop.role}"

        fetch = partial(clients.assume, hop, place)
        clock, events = base.sessions.clock, RefusalEvents(account_refused, account_admitted)
        self._keys = RenewedCredentials(fetch, place, clock, ASKED_AGAIN_SECONDS, events)

    @property
    def key(self) -> str:
        """Where the role stands, and in which account it is."""
        return self._keys.where

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The base's, and the role."""
        return *self._shared.base.hops, self._hop

    def client(self, service: str, region: str) -> Any:
        """Return the shared client, signed as this account."""
        return SignedAs(self._shared.client(service, region), self._keys)
