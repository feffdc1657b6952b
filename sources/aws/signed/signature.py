"""AWS Signature Version 4, of requests whose parts are all known.

Source: AWS's documentation, "Create a signed AWS API request"; for S3 also "Authenticating Requests:
Using the Authorization Header" (the path is encoded once, the body's hash is a header).
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import digest
from typing import Any, Protocol

from msgspec import Struct

from transforms.locks import Guard, guarded

DATED = frozenset({"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"})
"""Headers that are made anew for each request."""

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+),"
)
_LOCKS = (Guard("_lock", ("_key",)),)


class Scope(Struct, frozen=True):
    """What a signature is good for."""

    region: str
    service: str


class SignedRequest(Struct, frozen=True):
    """A request. path: as it is sent, encoded. headers: names in lower case, all of them signed."""

    method: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    agent: str = ""


class SigningCredentials(Protocol):
    """botocore's credentials, which renew themselves."""

    def get_frozen_credentials(self) -> Any:
        """Return `access_key`, `secret_key` and `token`, of one moment."""


@guarded(_LOCKS)
class V4Signer:
    """Signs with a client's credentials. Thread-safe. clock: of epoch seconds."""

    def __init__(self, credentials: SigningCredentials, clock: Callable[[], float] = time.time) -> None:
        self._credentials, self._clock = credentials, clock
        self._lock = threading.RLock()
        self._key: tuple[tuple[str, str, Scope], bytes] | None = None

    def signed(self, asked: SignedRequest, scope: Scope) -> bytes:
        """Return a request as it is sent, whole."""
        keys = self._credentials.get_frozen_credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        hashed = sha256(asked.body).hexdigest()
        headers = {"host": asked.host, "x-amz-date": stamp, **asked.headers}
        if scope.service == "s3":
            headers["x-amz-content-sha256"] = hashed
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        canonical = f"{asked.method}\n{asked.path}\n{asked.query}\n{lines}\n{signed}\n{hashed}"
        day = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(self._day_key(keys.secret_key, stamp[:8], scope), text.encode(), "sha256").hex()
        target = f"{asked.path}?{asked.query}" if asked.query else asked.path
        length = f"content-length: {len(asked.body)}\r\n" if asked.body else ""
        sent = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"{asked.method} {target} HTTP/1.1\r\n{sent}"
            f"user-agent: {asked.agent}\r\n{length}"
            f"authorization: AWS4-HMAC-SHA256 Credential={keys.access_key}/{day}, "
            f"SignedHeaders={signed}, Signature={signature}\r\n\r\n"
        )
        return head.encode("latin-1") + asked.body

    def _day_key(self, secret: str, day: str, scope: Scope) -> bytes:
        """Return the day's signing key: four hashes, made once."""
        known = secret, day, scope
        with self._lock:
            if self._key is None or self._key[0] != known:
                key = f"AWS4{secret}".encode()
                for part in (day, scope.region, scope.service, "aws4_request"):
                    key = digest(key, part.encode(), "sha256")
                self._key = known, key
            return self._key[1]


def signed_by(authorization: str) -> tuple[Scope, frozenset[str]] | None:
    """Return scope and signed headers of a header in the plain way; directory buckets' is another one."""
    found = _SIGNED.match(authorization)
    if not found:
        return None
    return Scope(found["region"], found["service"]), frozenset(found["names"].split(";"))
