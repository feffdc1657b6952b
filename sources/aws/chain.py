"""The chain of identities: keys or this machine, then each role that is assumed from the one before it.

Each is a `ChainLink`: a botocore session whose credentials renew themselves (`renewal.py`). When AWS calls a
session over all the same (clock skew, a revoked role, the middle of a page), a hook on every client renews it
and lets the call try once more: callers do nothing.
"""

import re
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from botocore.credentials import CredentialResolver
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from msgspec import Struct

from sources.aws.credentials import Credentials, Hop
from sources.aws.machine import machine_keys
from sources.aws.partitions import home_of, name_of
from sources.aws.renewal import Clock, RenewedCredentials, SessionKeys, usable
from sources.aws.replies import CHECKED, PLAIN, hollow, not_hollow, read_plainly, required
from sources.aws.sessions import client_config, new_session, region_of_machine
from sources.aws.spending import meter
from sources.errors import IDENTITY, REGION, BadCredentials, Denied, SourceError, translate
from transforms.locks import Guard, guarded

_UNKNOWN_KEY = frozenset(
    {"InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "AuthFailure"}
)
"""What AWS says of keys that it does not know, and of any keys in a region that their account lacks."""

_ENDED = _UNKNOWN_KEY | {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "TokenRefreshRequired",
    "InvalidToken",
}
"""What AWS says of a session that is over; of unknown keys too, which one renewal does not harm."""

_UNMATCHED = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
"""What AWS says of a secret that does not belong to its key, and of clocks that differ."""

_REGION_SECONDS = 300.0
"""So long is remembered whether AWS knows who asks, when one region does not."""

_LOCKS = (Guard("_lock", ("_sts", "_known_until")),)


class AssumedSessions(Struct, frozen=True):
    """Of assumed roles: how long they last, and the clock that decides when they end."""

    seconds: int
    clock: Clock


class RoleAssumer(Protocol):
    """boto3's client of STS, as far as it is used."""

    def assume_role(self, **asked: object) -> Mapping[str, Any]:
        """`Credentials`."""

    def get_caller_identity(self) -> Mapping[str, Any]:
        """`Account`, `Arn`."""


class Renewable(Protocol):
    """botocore's credentials that can be had anew: `RenewedCredentials`, or those of whoever asks."""

    @property
    def where(self) -> str:
        """Whose they are, for messages."""

    def renew(self, why: str = "") -> None:
        """Let the next signature fetch new keys. why: what AWS said of those in use."""


@guarded(_LOCKS)
class ChainLink:
    """One identity of the chain, and its clients.

    home: the region where STS is asked. where: for messages, of fixed keys. renewed: its credentials, None
    for fixed keys. ended: codes that are worth a renewal.
    """

    def __init__(
        self,
        session: Session,
        home: str,
        where: str,
        renewed: Renewable | None = None,
        ended: frozenset[str] = _ENDED,
    ) -> None:
        self.home, self._where, self._ended = home, where, ended
        self._session, self._renewed = session, renewed
        self._sts: RoleAssumer | None = None
        self._known_until: dict[str, float] = {}
        self._lock = threading.RLock()  # a botocore session makes its clients in one thread at a time only

    @property
    def where(self) -> str:
        """What to repair when AWS refuses this identity itself."""
        return self._renewed.where if self._renewed else self._where

    def client(self, service: str, region: str) -> Any:
        """Make a client of a service in a region."""
        create: Any = self._session.create_client
        with self._lock:
            client = create(service, region_name=region, config=client_config())
        client.meta.events.register("needs-retry", partial(self._on_reply, region))
        meter.watch(client, service)
        for operation in PLAIN:
            client.meta.events.register(f"before-parse.{operation}", read_plainly)
        for operation, key in CHECKED.items():
            client.meta.events.register(f"after-call.{operation}", partial(not_hollow, key))
        return client

    @property
    def sts(self) -> RoleAssumer:
        """The client that asks STS at home, always the same one."""
        with self._lock:
            if self._sts is None:
                self._sts = self.client("sts", self.home)
            return self._sts

    def renew(self, why: str = "") -> bool:
        """Let the next signature begin a new session; False for fixed keys. why: what AWS said."""
        if self._renewed is None:
            return False
        self._renewed.renew(why)
        return True

    def _on_reply(self, region: str, response: Any, request_dict: dict[str, Any], **_: Any) -> Any:
        """Let botocore sign and send a request once more, at once, when AWS calls its session over.

        Any error gets notes: whose identity was refused, and whether by this region alone.
        """
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if not code:
            return None
        context, notes = request_dict["context"], response[1].setdefault("ResponseMetadata", {})
        notes[IDENTITY] = self.where
        if code in self._ended and not context.get("collector_renewed") and self.renew(code):
            context["collector_renewed"] = True
            return 0.0
        if code in _UNKNOWN_KEY and region != self.home and self._is_known():
            notes[REGION] = region
        return None

    def _is_known(self) -> bool:
        """Ask AWS at home whether it knows who asks; "yes" is remembered for a while."""
        who = self.where
        with self._lock:
            if time.monotonic() < self._known_until.get(who, 0.0):
                return True
        try:
            self.sts.get_caller_identity()
        except (ClientError, BotoCoreError, SourceError, KeyError):
            return False
        with self._lock:
            self._known_until[who] = time.monotonic() + _REGION_SECONDS
        return True


def chain(
    name: str, where: str, credentials: Credentials, sessions: AssumedSessions, region: str = ""
) -> list[ChainLink]:
    """Build the chain of identities; the last one is who we work as. Asks nothing.

    name: the input's. where: for messages, its settings: `input prod, credentials`. region: one that is
    collected from, whose partition knows who asks.
    """
    session, hops = new_session(), credentials.hops
    machine = region_of_machine(session)
    home = home_of(hops[-1].partition if hops else name_of(region or machine), machine)
    if credentials.access_key:
        links = [_given(session, home, where, credentials, sessions.clock)]
    else:
        machine_has = RenewedCredentials(partial(machine_keys, where, home), where, sessions.clock)
        links = [renewing(session, home, machine_has)]
    for hop in hops:
        place = place_of(where, hop)
        fetch = partial(assume, links[-1].sts, hop, sessions, name, place)
        links.append(renewing(new_session(), home, RenewedCredentials(fetch, place, sessions.clock)))
    return links


def _given(session: Session, home: str, where: str, credentials: Credentials, clock: Clock) -> ChainLink:
    """Return the link of keys that are given; those in files are read there again when AWS refuses them."""
    if credentials.replaceable:
        renewed = RenewedCredentials(partial(given_keys, credentials), where, clock)
        return renewing(session, home, renewed, _ENDED | _UNMATCHED)
    keys = usable(given_keys(credentials), where)
    session.set_credentials(keys.access_key, keys.secret_key, keys.token or None)
    return ChainLink(session, home, where)


def given_keys(credentials: Credentials) -> SessionKeys:
    """Return the keys that are given, as their files have them now."""
    given = (credentials.access_key, credentials.access_secret, credentials.session_token)
    key, secret, token = (one.get_secret_value() if one else "" for one in given)
    return SessionKeys(key, secret, token)


def renewing(
    session: Session,
    home: str,
    renewed: Renewable,
    ended: frozenset[str] = _ENDED,
) -> ChainLink:
    """Return the link whose session signs with credentials that renew themselves."""
    provider: Any = _Provider(renewed)
    session.register_component("credential_provider", CredentialResolver([provider]))
    return ChainLink(session, home, "", renewed, ended)


class _Provider:
    """Gives a botocore session its credentials (the shape of a CredentialProvider)."""

    METHOD = CANONICAL_NAME = "collector"

    def __init__(self, renewed: Renewable) -> None:
        self._renewed = renewed

    def load(self) -> Renewable:
        return self._renewed


def place_of(where: str, hop: Hop) -> str:
    """Return where a hop stands in the configuration, for messages."""
    return f"{where}.{hop.setting} {hop.role}"


def assume(sts: RoleAssumer, hop: Hop, sessions: AssumedSessions, name: str, where: str) -> SessionKeys:
    """Assume a role; raises SourceError naming hop and principal."""
    session = re.sub(r"[^\w+=,.@-]", "-", f"devo-aws-collector-{name}", flags=re.ASCII)[:64]
    external = {"ExternalId": hop.external_id} if hop.external_id else {}
    try:
        reply = sts.assume_role(
            RoleArn=hop.role, RoleSessionName=session, DurationSeconds=sessions.seconds, **external
        )
    except (ClientError, BotoCoreError) as error:
        raise _refused(error, hop, where) from error
    except KeyError as error:
        raise hollow(error.args[0], where) from error
    found = required(reply, "Credentials", where)
    names = "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"
    keys = SessionKeys(*(required(found, name, where) for name in names))
    if keys.ends and keys.ends <= sessions.clock():
        raise BadCredentials("a new session is over already", where, "set this machine's clock, it is ahead")
    return keys


def _refused(error: Exception, hop: Hop, where: str) -> SourceError:
    """Tell what a refused hop needs: AWS says the same for a missing role, a wrong id and a lacking right."""
    known = translate(error, where, "sts:AssumeRole")
    if type(known) is not Denied or not known.hint.startswith("allow "):  # more is known than that
        return type(known)(known.what, where, known.hint, cause=where)
    found = re.search(r"(arn:\S+) is not authorized", known.what)
    principal = found[1] if found else "the identity before it"
    given = "this assume_role_external_id" if hop.external_id else "no external id"
    return BadCredentials(
        f"role cannot be assumed ({known.what})",
        where,
        f"see that it exists, that {principal} may sts:AssumeRole it, "
        f"and that its trust policy allows this principal with {given}",
        cause=where,
    )
