"""The calls that are made most, at a fraction of boto3's cost: signed here, sent over `wire`, read by orjson.

The first call of an operation is made by the client. From the request that it sent, endpoint, region and
headers are learnt; credentials are the client's own, which renew themselves. Left out is what boto3 does anew
for each call: endpoint rules, events, retries, parsing by shapes. Whatever does not end in a plain 200 is
asked again through the client, which knows retries, renewal and errors; after a few in a row it is asked at
once, for a while.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from sources.aws.botocore_internals import signing_credentials
from sources.aws.replies import call, read_json, sent_headers
from sources.aws.signed.hosts import Hosts
from sources.aws.signed.patience import Patience
from sources.aws.signed.sent import SentRequests
from sources.aws.signed.signature import DATED, Scope, SignedRequest, V4Signer, signed_by
from sources.aws.signed.wire import WireError
from sources.aws.spending.meter import Leaving
from transforms.locks import Guard, guarded

_STATIC = ("content-type", "x-amz-target", "x-amzn-query-mode")
"""Headers that are the same for each call of an operation, and signed, beside host and dated ones."""

_JSON = "application/x-amz-json-1."
_OK = 200

_LOCKS = (Guard("_lock", ("_ways",)),)


class _CallWay(Struct, frozen=True):
    """How an operation is asked. base: scheme and host."""

    base: str
    host: str
    path: str
    headers: dict[str, str]
    agent: str
    scope: Scope


@guarded(_LOCKS)
class SignedCalls:
    """Calls operations of one boto3 client whose protocol is JSON. Thread-safe, as the client is."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.time) -> None:
        self.client, self._service = client, ""
        self._lock = threading.RLock()
        self._ways: dict[str, _CallWay] = {}
        self._patience = Patience()
        self._hosts: Hosts | None = None  # another botocore than this was written for: the client does it all
        try:
            self._signer = V4Signer(signing_credentials(client), clock)
            self._hosts = Hosts(client)
            self._service = client.meta.service_model.service_name
            self._sent = SentRequests(client, f"before-send.{self._service}")
        except AttributeError:
            self._hosts = None

    def call(self, operation: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
        """Return an operation's reply as boto3 does, without its metadata. Raises what boto3 raises."""
        with self._lock:
            way = None if self._patience.rests else self._ways.get(operation)
        if way is not None and self._hosts is not None:
            leaving = Leaving(self._service, operation, parameters)
            found = self._asked(way, self._hosts, parameters, leaving)
            leaving.ended()
            self._patience.note(plain=found is not None)
            if found is not None:
                return found
        if self._hosts is None:
            return call(self.client, operation, parameters)
        reply, sent = self._sent.during(partial(call, self.client, operation, parameters))
        if learnt := _learnt(sent):
            with self._lock:
                self._ways[operation] = learnt
        return reply

    def _asked(
        self, way: _CallWay, hosts: Hosts, parameters: Mapping[str, object], leaving: Leaving
    ) -> dict[str, Any] | None:
        """Return the reply, or None when the client should ask."""
        try:
            body = orjson.dumps(parameters)
            request = SignedRequest("POST", way.host, way.path, "", way.headers, body, way.agent)
            reply = hosts.wire(way.base).ask(self._signer.signed(request, way.scope), leaving)
            leaving.size = len(reply.body)
            found = read_json(reply.body) if reply.status == _OK else None
        except (WireError, ValueError, TypeError):
            return None
        return found if isinstance(found, dict) else None


def _learnt(request: Any) -> _CallWay | None:
    """Return how botocore asked, when it did so in the plain way."""
    if request is None:
        return None
    headers, url = sent_headers(request), urlsplit(request.url)
    signed = signed_by(headers.get("authorization", ""))
    static = {name: headers[name] for name in _STATIC if name in headers}
    if (
        not signed
        or request.method != "POST"
        or url.query
        or not headers.get("content-type", "").startswith(_JSON)
        or signed[1] - DATED != static.keys()
    ):
        return None
    base = f"{url.scheme}://{url.netloc}"
    return _CallWay(base, url.netloc, url.path or "/", static, headers.get("user-agent", ""), signed[0])
