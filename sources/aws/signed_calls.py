"""The calls that are made most, at a fraction of boto3's cost: signed here, sent over `wire`, read by orjson.

The first call of an operation is made by the client. From the request that it sent, endpoint, region and
headers are learnt; credentials are the client's own, which renew themselves. Left out is what boto3 does anew
for each call: endpoint rules, events, retries, parsing by shapes. Whatever does not end in a plain 200 is
asked again through the client, which knows retries, renewal and errors; after a few in a row it is asked at
once, for a while.

Signature: AWS Signature Version 4, as AWS documents it ("Create a signed AWS API request").
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import digest
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies
from msgspec import Struct

from sources.aws.botocore_internals import signing_credentials, verification
from sources.aws.replies import call, sent_headers
from sources.aws.wire import Wire, WireError
from transforms.locks import Guard, guarded

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), "
)
_STATIC = ("content-type", "x-amz-target", "x-amzn-query-mode")
"""Headers that are the same for each call of an operation, and signed, beside host and dated ones."""

_DATED = frozenset({"host", "x-amz-date", "x-amz-security-token"})
_JSON = "application/x-amz-json-1."
_PATIENCE, _REST_SECONDS = 5, 60.0
"""After so many calls in a row that did not end plainly, the client is asked for so long."""

_OK = 200

_LOCKS = (Guard("_lock", ("_ways", "_wires", "_rest_until", "_failed", "_keys")),)


class _LearntCall(Struct, frozen=True):
    """How an operation is asked: learnt headers, region and service of the signature."""

    wire: Wire
    host: str
    path: str
    headers: tuple[tuple[str, str], ...]
    agent: str
    region: str
    service: str


@guarded(_LOCKS)
class SignedCalls:
    """Calls operations of one boto3 client whose protocol is JSON. Thread-safe, as the client is."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.time) -> None:
        self.client, self._clock = client, clock
        self._sent = threading.local()
        self._lock = threading.RLock()
        self._ways: dict[str, _LearntCall] = {}
        self._wires: dict[str, Wire] = {}
        self._rest_until = 0.0
        self._failed = 0
        self._keys: dict[tuple[str, str, str], bytes] = {}
        try:
            self._credentials = signing_credentials(client)
            self._verify = verification(client)
        except AttributeError:  # another botocore than this was written for: the client does it all
            self._credentials = None
        if self._credentials is not None:
            client.meta.events.register(f"before-send.{client.meta.service_model.service_name}", self._see)

    def call(self, operation: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
        """Return an operation's reply as boto3 does, without its metadata. Raises what boto3 raises."""
        with self._lock:
            way = self._ways.get(operation) if time.monotonic() >= self._rest_until else None
        if way is not None:
            found = self._asked(way, parameters)
            self._note(plain=found is not None)
            if found is not None:
                return found
        self._sent.request = None
        reply = call(self.client, operation, parameters)
        learnt = self._learnt(self._sent.request) if self._credentials is not None else None
        if learnt is not None:
            with self._lock:
                self._ways[operation] = learnt
        return reply

    def _note(self, *, plain: bool) -> None:
        with self._lock:
            self._failed = 0 if plain else self._failed + 1
            if self._failed >= _PATIENCE:
                self._failed, self._rest_until = 0, time.monotonic() + _REST_SECONDS
                self._ways.clear()

    def _see(self, request: Any, **_: Any) -> None:
        self._sent.request = request

    def _asked(self, way: _LearntCall, parameters: Mapping[str, object]) -> dict[str, Any] | None:
        """Return the reply, or None when the client should ask."""
        try:
            reply = way.wire.ask(self._request(way, orjson.dumps(parameters)))
            found = read_json(reply.body) if reply.status == _OK else None
        except (WireError, ValueError, TypeError):
            return None
        return found if isinstance(found, dict) else None

    def _request(self, way: _LearntCall, body: bytes) -> bytes:
        """Return a signed request, whole."""
        keys = self._credentials.get_frozen_credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        headers = {"host": way.host, "x-amz-date": stamp, **dict(way.headers)}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        names = sorted(headers)
        signed = ";".join(names)
        canonical = "\n".join(
            (
                "POST",
                way.path,
                "",
                *(f"{name}:{headers[name]}" for name in names),
                "",
                signed,
                sha256(body).hexdigest(),
            )
        )
        scope = f"{stamp[:8]}/{way.region}/{way.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = self._key(keys.secret_key, stamp[:8], way)
        signature = digest(key, text.encode(), "sha256").hex()
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = (
            f"POST {way.path} HTTP/1.1\r\n{''.join(lines)}"
            f"user-agent: {way.agent}\r\ncontent-length: {len(body)}\r\n"
            f"authorization: AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}\r\n\r\n"
        )
        return head.encode("latin-1") + body

    def _key(self, secret: str, day: str, way: _LearntCall) -> bytes:
        """Return the day's signing key: four hashes, made once."""
        with self._lock:
            found = self._keys.get((secret, day, way.region))
            if found is None:
                found = f"AWS4{secret}".encode()
                for part in (day, way.region, way.service, "aws4_request"):
                    found = digest(found, part.encode(), "sha256")
                self._keys = {(secret, day, way.region): found}
        return found

    def _learnt(self, request: Any) -> _LearntCall | None:
        """Return how botocore asked, when it did so in the plain way."""
        if request is None:
            return None
        headers, url = sent_headers(request), urlsplit(request.url)
        signed = _SIGNED.match(headers.get("authorization", ""))
        static = tuple((name, headers[name]) for name in _STATIC if name in headers)
        if (
            not signed
            or request.method != "POST"
            or url.query
            or not headers.get("content-type", "").startswith(_JSON)
            or {*signed["names"].split(";")} - _DATED != {name for name, _ in static}
            or get_environ_proxies(request.url)
        ):
            return None
        agent = headers.get("user-agent", "")
        return _LearntCall(
            self._wire(url), url.netloc, url.path or "/", static, agent, signed["region"], signed["service"]
        )

    def _wire(self, url: SplitResult) -> Wire:
        with self._lock:
            if url.netloc not in self._wires:
                config = self.client.meta.config
                tls = _context(self._verify) if url.scheme == "https" else None
                port = url.port or (443 if tls else 80)
                timeouts = config.connect_timeout, config.read_timeout
                self._wires[url.netloc] = Wire(url.hostname or "", port, tls, *timeouts)
            return self._wires[url.netloc]


def read_json(body: bytes) -> Any:
    """Return what JSON says; half a surrogate pair too, which orjson refuses. Raises ValueError."""
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def _context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - botocore's own shape
    """Return what botocore would verify with: `AWS_CA_BUNDLE`, else the public authorities."""
    context: ssl.SSLContext = create_urllib3_context()
    context.load_verify_locations(get_cert_path(verify))
    context.check_hostname, context.verify_mode = True, ssl.CERT_REQUIRED
    return context
