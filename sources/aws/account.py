"""Who asks AWS, and how: credentials, role hops, renewal, retry policy. The only place that makes clients.

A session renews itself before it ends. When AWS calls it expired all the same (clock skew, a revoked role,
the middle of a page), a hook on every client renews it and lets the call try once more: callers do nothing.

    credentials                               the chain of identities
    none                                      boto3's default chain
    access_key + access_secret                the key's user
    … + base_assume_role                      key → base role, of the same account
    base_assume_role + target_assume_role     machine's identity → base role → target role (external id)

A hop that is refused is not asked again for some seconds: everything that waits for it gets the same answer.

Endpoint, FIPS, proxy and CA bundle come from botocore's own environment and files (AWS_ENDPOINT_URL …).
"""

import platform
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import botocore
import orjson
from botocore.config import Config
from botocore.credentials import (
    CredentialResolver,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from msgspec import Struct

from sources.aws import botocore_internals
from sources.aws.credentials import Credentials, Hop
from sources.aws.sessions import new_session, region_of_machine
from sources.errors import IDENTITY, BadCredentials, Denied, SourceError, Transient, translate

__all__ = ["Account", "Credentials", "Identity", "required"]

CHAINED_SECONDS = 3600
"""Longest session that a chained role may have; also the shortest maximum a role can be given."""

_PLAIN = ("cloudwatch-logs.FilterLogEvents", "sqs.ReceiveMessage", "sqs.DeleteMessageBatch")
"""Operations whose replies hold text and numbers only, many of them: read by `_read_plainly`."""

_BOTOCORES_OWN = ("Error", "ResponseMetadata")
"""Keys that botocore puts into replies; whatever says them itself is not AWS."""

_MIN_RENEWAL_INTERVAL_SECONDS = 5.0
"""Many calls learn at once that a session has ended, or cannot begin: STS is asked once in this time."""

_MAKING = threading.BoundedSemaphore(4)
"""Clients made at once: hundreds of threads that compute at the same time do little but wake each other."""

_IDENTITY_ATTEMPTS = 5
"""So often in vain is an account's number asked for before events are collected without it."""

_ENDED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
        # said of unknown keys too, which one renewal does not harm:
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
    }
)
"""What AWS says of a session that is over."""

Clock = Callable[[], datetime]
"""Tells the present moment, aware: what sessions are renewed by."""

_MACHINE: Clock = partial(datetime.now, UTC)

_HOME = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


class Identity(Struct, frozen=True):
    """Who AWS says we are."""

    account: str
    arn: str


class Account:
    """One input's identity in AWS, and its clients.

    name: the input's, for messages. session_seconds: how long an assumed role's session lasts. clock: by
    which sessions are renewed before they end.
    Thread-safe. Making one asks AWS nothing.
    """

    def __init__(
        self,
        name: str,
        credentials: Credentials | None = None,
        *,
        session_seconds: int = CHAINED_SECONDS,
        clock: Clock = _MACHINE,
    ) -> None:
        self.name = name
        self._credentials = credentials or Credentials()
        self._sessions = _Sessions(session_seconds, clock)
        self._clients: dict[tuple[str, str], Any] = {}
        self._links: list[_Link] = []
        self._lock = threading.RLock()  # botocore makes sessions and clients in one thread at a time only
        self._known_id = ""
        self._unknown = 0

    def __repr__(self) -> str:
        return f"Account({self.name!r})"

    @property
    def where(self) -> str:
        """For messages: the input and, when there is one, the role it works with."""
        hops = self._credentials.hops
        return f"input {self.name} as {hops[-1].role}" if hops else f"input {self.name}"

    def client(self, service: str, region: str) -> Any:
        """Return the boto3 client of a service in a region, always the same one.

        region: "" = the machine's default. Raises SourceError when there are no such service and region.
        """
        found = self._clients.get((service, region))
        if found is None:
            with self._lock, _MAKING:
                found = self._clients.get((service, region)) or self._make(service, region)
                self._clients[service, region] = found
        return found

    def renew(self) -> None:
        """Let the next call begin with a new session; callers need not, see the hook."""
        with self._lock:
            for link in self._links:
                link.renew()

    def identity(self) -> Identity:
        """Ask AWS who we are; raises SourceError that names the hop which failed and what it needs."""
        where = f"{self.where}, credentials"
        try:
            reply = self.client("sts", "").get_caller_identity()
        except (ClientError, BotoCoreError) as error:
            raise translate(error, where, "sts:GetCallerIdentity") from error
        except KeyError as error:
            raise _hollow(error.args[0], where) from error
        return Identity(required(reply, "Account", where), required(reply, "Arn", where))

    @property
    def account_id(self) -> str:
        """The AWS account's number: told by the role, else asked until AWS has told it; "" if it does not.

        Raises Transient the first few times that asking fails in passing: what is collected meanwhile would
        bear no number. STS may be out of reach for good, though, while what is collected is not.
        """
        hops = self._credentials.hops
        if hops:
            return hops[-1].account
        if not self._known_id:
            try:
                self._known_id = self.identity().account
            except Denied:
                return ""
            except Transient:
                self._unknown += 1
                if self._unknown < _IDENTITY_ATTEMPTS:
                    raise
                return ""
        return self._known_id

    def _make(self, service: str, region: str) -> Any:
        try:
            if not self._links:
                self._links = _chain(self.name, self._credentials, self._sessions)
            link = self._links[-1]
            return link.client(service, region or link.home)
        except BotoCoreError as error:
            raise translate(error, f"{self.where}, {service} in {region or 'the default region'}") from error
        except ValueError as error:  # botocore's word for an endpoint that is no URL
            hint = "write AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_… as http(s)://HOST[:PORT]"
            raise SourceError(str(error), f"{self.where}, {service}", hint) from error


class _Sessions(Struct, frozen=True):
    """Of assumed roles: how long they last, and the clock that tells when they end."""

    seconds: int
    clock: Clock


class _Link:
    """One identity of the chain: a botocore session, and the renewal of its credentials.

    where: what to repair when AWS refuses this identity itself, for messages.
    """

    def __init__(self, session: Session, home: str, where: str) -> None:
        self.session, self.home, self.where = session, home, where
        self._renewed = -_MIN_RENEWAL_INTERVAL_SECONDS
        self._lock = threading.Lock()

    def client(self, service: str, region: str) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 5},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=64,
            tcp_keepalive=True,
            user_agent=_user_agent(),
            parameter_validation=False,  # AWS checks them too; both together save an eighth of a call's cost
        )
        create: Any = self.session.create_client
        client = create(service, region_name=region, config=config)
        client.meta.events.register("needs-retry", self._on_reply)
        for operation in _PLAIN:
            client.meta.events.register(f"before-parse.{operation}", _read_plainly)
        return client

    def renew(self) -> bool:
        """Mark the session as over, so that the next signature begins a new one; False for fixed keys."""
        credentials: Any = self.session.get_credentials()
        renewable = isinstance(credentials, RefreshableCredentials)
        if not renewable:
            return False
        with self._lock:
            if time.monotonic() - self._renewed >= _MIN_RENEWAL_INTERVAL_SECONDS:
                self._renewed = time.monotonic()
                botocore_internals.expire(credentials)
        return True

    def _on_reply(self, response: Any, request_dict: dict[str, Any], **_: Any) -> Any:
        """Let botocore sign and send a request once more, at once, when AWS calls its session over.

        Any error gets a note of whose identity it was refused to (see `errors.identity_of`).
        """
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if code:
            response[1].setdefault("ResponseMetadata", {})[IDENTITY] = self.where
        context = request_dict["context"]
        if code not in _ENDED or context.get("collector_renewed") or not self.renew():
            return None
        context["collector_renewed"] = True
        return 0.0


def _chain(name: str, credentials: Credentials, sessions: _Sessions) -> list[_Link]:
    """Build the chain of identities; the last one is who we work as."""
    session = new_session()
    if credentials.access_key and credentials.access_secret:
        token = credentials.session_token.get_secret_value() if credentials.session_token else None
        session.set_credentials(credentials.access_key, credentials.access_secret.get_secret_value(), token)
    hops = credentials.hops
    home = _home(hops[-1].partition if hops else "aws", region_of_machine(session))
    links = [_Link(session, home, f"input {name}, credentials")]
    for hop in hops:
        sts, where = links[-1].client("sts", home), _where(name, hop)
        provider: Any = _Assumed(partial(_assume, sts, hop, sessions, name), sessions)
        assumed = new_session()
        assumed.register_component("credential_provider", CredentialResolver([provider]))
        links.append(_Link(assumed, home, where))
    return links


def _where(name: str, hop: Hop) -> str:
    return f"input {name}, credentials.{hop.setting} {hop.role}"


def _home(partition: str, configured: str) -> str:
    """Return the region where STS is asked: the machine's own, if it is of the role's partition."""
    if partition in _HOME:
        prefix = _HOME[partition].rpartition("-")[0].rpartition("-")[0]
        return configured if configured.startswith(prefix) else _HOME[partition]
    return configured or "us-east-1"


class _Assumed:
    """Gives a botocore session the credentials of an assumed role (the shape of a CredentialProvider)."""

    METHOD = CANONICAL_NAME = "collector-assume-role"

    def __init__(self, refresh: Callable[[], dict[str, str]], sessions: _Sessions) -> None:
        self._refresh, self._sessions = refresh, sessions
        self._refusal: SourceError | None = None
        self._until = 0.0

    def load(self) -> Any:
        """Return credentials that are fetched on first use and renewed well before they end."""
        seconds, clock = self._sessions.seconds, self._sessions.clock
        credentials: Any = DeferredRefreshableCredentials(self._once, self.METHOD, clock)
        botocore_internals.refresh_before_end(credentials, min(900, seconds // 4), min(600, seconds // 6))
        return credentials

    def _once(self) -> dict[str, str]:
        """Assume the role; what failed just now fails again without asking. One thread at a time."""
        if self._refusal is not None and time.monotonic() < self._until:
            raise self._refusal.again()
        try:
            found, self._refusal = self._refresh(), None
        except SourceError as error:
            self._refusal, self._until = error.again(), time.monotonic() + _MIN_RENEWAL_INTERVAL_SECONDS
            raise
        return found


def _assume(sts: Any, hop: Hop, sessions: _Sessions, name: str) -> dict[str, str]:
    """Assume a role; returns credentials in botocore's form. Raises SourceError naming hop and principal."""
    where = _where(name, hop)
    session = re.sub(r"[^\w+=,.@-]", "-", f"devo-aws-collector-{name}", flags=re.ASCII)[:64]
    external = {"ExternalId": hop.external_id} if hop.external_id else {}
    try:
        reply = sts.assume_role(
            RoleArn=hop.role, RoleSessionName=session, DurationSeconds=sessions.seconds, **external
        )
    except (ClientError, BotoCoreError) as error:
        raise _refused(error, hop, where) from error
    except KeyError as error:
        raise _hollow(error.args[0], where) from error
    found = required(reply, "Credentials", where)
    if found["Expiration"] <= sessions.clock():
        raise BadCredentials("a new session is over already", where, "set this machine's clock, it is ahead")
    return {
        "access_key": found["AccessKeyId"],
        "secret_key": found["SecretAccessKey"],
        "token": found["SessionToken"],
        "expiry_time": found["Expiration"].isoformat(),
    }


def _refused(error: Exception, hop: Hop, where: str) -> SourceError:
    """Tell what a refused hop needs: AWS says the same for a missing role, a wrong id and a lacking right."""
    known = translate(error, where, "sts:AssumeRole")
    if type(known) is not Denied:
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


def required(reply: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a mandatory value of a reply; raises Transient when it is absent.

    A 200 whose JSON is truncated, or is a proxy's HTML page, comes out of boto3 as `{}` without an
    exception. A default instead of this would let a cursor move over the hole.
    """
    if key not in reply:
        raise _hollow(key, where)
    return reply[key]


def _hollow(key: str, where: str) -> Transient:
    """Return the error of a reply that is none; of XML, as STS speaks, botocore raises KeyError itself."""
    hint = "it was cut short or came from a proxy; it is tried again"
    return Transient(f"reply without {key}", where, hint)


def _read_plainly(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read a reply at once; botocore's walk over its shapes makes the same of it at ten times the cost.

    Errors are left to botocore, and what is no JSON to orjson, half a surrogate pair for instance.
    """
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        found = orjson.loads(response_dict["body"])
    except ValueError:
        return
    if isinstance(found, dict):
        said = {key: value for key, value in found.items() if value is not None and key not in _BOTOCORES_OWN}
        customized_response_dict.update(said)
        response_dict["body"] = b"{}"


@cache
def _user_agent() -> str:
    """Return who asks. Given whole: else botocore puts its own together twice for every request."""
    try:
        ours = version("devo-aws-collector")
    except PackageNotFoundError:
        ours = "0"
    return f"devo-aws-collector/{ours} Botocore/{botocore.__version__} Python/{platform.python_version()}"
