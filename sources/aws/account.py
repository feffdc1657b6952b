"""Who asks AWS, and how: credentials, role hops, renewal, retry policy. The only place that makes clients.

    credentials                               the chain of identities
    none                                      what this machine gives (boto3's default chain)
    access_key + access_secret                the key's user
    base_assume_role or target_assume_role    one of the two → the role
    both roles                                one of the two → base role → target role

The external id goes to the last role. How identities are found, renewed and asked for again: `chain.py`,
`renewal.py`, `machine.py`.

Endpoint, FIPS, proxy and CA bundle come from botocore's own environment and files (AWS_ENDPOINT_URL …).
"""

import threading
import time
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from sources.aws.chain import AssumedSessions, ChainLink, chain
from sources.aws.credentials import Credentials, Hop
from sources.aws.renewal import Clock
from sources.aws.replies import hollow, required
from sources.aws.signed.authorities import share
from sources.aws.signed.calls import SignedCalls
from sources.errors import BadCredentials, Denied, SourceError, Transient, translate
from transforms.locks import Guard, guarded

__all__ = ["Account", "Credentials", "Identity", "required"]

_LOCKS = (Guard("_lock", ("_links", "_calls")),)
"""Clients are looked up without it, made and forgotten under it."""

CHAINED_SECONDS = 3600
"""Longest session that a chained role may have; also the shortest maximum a role can be given."""

_MAKING = threading.BoundedSemaphore(4)
"""Clients made at once: hundreds of threads that compute at the same time do little but wake each other."""

MOST_CLIENTS = 256
"""Of one account: four APIs in every region of AWS and then some. A client takes half a mebibyte."""

_IDENTITY_ATTEMPTS = 5
"""So often in vain is an account's number asked for before events are collected without it."""

_MACHINE: Clock = partial(datetime.now, UTC)


class Identity(Struct, frozen=True):
    """Who AWS says we are."""

    account: str
    arn: str


@guarded(_LOCKS)
class Account:
    """One input's identity in AWS, and its clients.

    name: the input's, for messages. setting: the key of the input that holds the credentials. region: one
    that is collected from: who asks is known in its partition. session_seconds: how long an assumed role's
    session lasts. clock: by which sessions are renewed before they end. link: who asks, made already.
    Thread-safe. Making one asks AWS nothing.
    """

    def __init__(  # noqa: PLR0913 - what a test or another key of the input says differently
        self,
        name: str,
        credentials: Credentials | None = None,
        *,
        setting: str = "credentials",
        region: str = "",
        session_seconds: int = CHAINED_SECONDS,
        clock: Clock = _MACHINE,
        link: ChainLink | None = None,
    ) -> None:
        self.name, self.setting = name, setting
        self._credentials = credentials or Credentials()
        self._region = region
        self.sessions = AssumedSessions(session_seconds, clock)
        self._clients: dict[tuple[str, str], Any] = {}
        self._used: dict[tuple[str, str], float] = {}
        self._calls: dict[tuple[str, str], SignedCalls] = {}
        self._links: list[ChainLink] = [link] if link else []
        self._lock = threading.RLock()  # botocore makes sessions and clients in one thread at a time only
        self._known_id = ""
        self._unknown = 0

    def __repr__(self) -> str:
        return f"Account({self.name!r})"

    @property
    def key(self) -> str:
        """Where its credentials stand, unique among all inputs: `input prod, credentials`."""
        return f"input {self.name}, {self.setting}"

    @property
    def where(self) -> str:
        """For messages: the input and, when there is one, the role it works with."""
        by = f"input {self.name}" if self.setting == "credentials" else f"input {self.name} by {self.setting}"
        return f"{by} as {self.hops[-1].role}" if self.hops else by

    @property
    def fingerprint(self) -> str:
        """Return what is the same for the same configured identity; no secret can be read from it."""
        key = self._credentials.access_key
        told = sha256(key.get_secret_value().encode()).hexdigest() if key else ""
        return f"{self._credentials.model_dump_json()} {told}"

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The roles that this identity is reached by."""
        return self._credentials.hops

    @property
    def link(self) -> ChainLink:
        """Who we work as: the last one of the chain of identities. Raises BotoCoreError."""
        with self._lock:
            if not self._links:
                self._links = chain(self.name, self.key, self._credentials, self.sessions, self._region)
            return self._links[-1]

    def client(self, service: str, region: str) -> Any:
        """Return the boto3 client of a service in a region, the same one as long as it is used.

        region: "" = the machine's default. Raises SourceError when there are no such service and region.
        """
        key = service, region
        found = self._clients.get(key)
        if found is None:
            with self._lock, _MAKING:
                found = self._clients.get(key) or self._make(service, region)
                self._clients[key] = found
                self._used[key] = time.monotonic()
                self._forget_one()
        self._used[key] = time.monotonic()
        return found

    def calls(self, service: str, region: str) -> SignedCalls:
        """Return what makes the most frequent calls of that client cheaply. Raises SourceError."""
        key, client = (service, region), self.client(service, region)
        with self._lock:
            found = self._calls.get(key)
            if found is None or found.client is not client:
                self._calls = {known: one for known, one in self._calls.items() if known in self._clients}
                found = self._calls[key] = SignedCalls(client)
            return found

    def _forget_one(self) -> None:
        """Close the client that was used least lately, when there are too many; requests under way go on."""
        if len(self._clients) > MOST_CLIENTS:
            oldest = min(self._clients, key=lambda key: self._used.get(key, 0.0))
            self._clients.pop(oldest).close()
            self._used = {key: self._used.get(key, 0.0) for key in self._clients}

    def renew(self) -> None:
        """Let the next call begin with a new session; callers need not, see the hook."""
        with self._lock:
            for link in self._links:
                link.renew()

    def identity(self) -> Identity:
        """Ask AWS who we are; raises SourceError that names the hop which failed and what it needs."""
        where = f"{self.where}, {self.setting}"
        try:
            reply = self.client("sts", "").get_caller_identity()
        except (ClientError, BotoCoreError) as error:
            raise translate(error, where, "sts:GetCallerIdentity") from error
        except KeyError as error:
            raise hollow(error.args[0], where) from error
        return Identity(required(reply, "Account", where), required(reply, "Arn", where))

    @property
    def account_id(self) -> str:
        """The AWS account's number: that of the role, else what AWS answers; "" while it does not.

        Raises BadCredentials while there is no identity, and Transient the first few times that asking fails
        in passing: what is collected meanwhile would bear no number. STS may be out of reach for good,
        though, or not allowed, while what is collected is.
        """
        if self.hops:
            return self.hops[-1].account
        if not self._known_id:
            try:
                self._known_id = self.identity().account
            except BadCredentials:
                raise
            except Transient:
                self._unknown += 1
                if self._unknown < _IDENTITY_ATTEMPTS:
                    raise
                return ""
            except Denied:
                return ""
        return self._known_id

    def _make(self, service: str, region: str) -> Any:
        try:
            link = self.link
            made = link.client(service, region or link.home)
        except BotoCoreError as error:
            raise translate(error, f"{self.where}, {service} in {region or 'the default region'}") from error
        except ValueError as error:  # botocore's word for an endpoint that is no URL
            hint = "write AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_… as http(s)://HOST[:PORT]"
            raise SourceError(str(error), f"{self.where}, {service}", hint) from error
        share(made)
        return made
