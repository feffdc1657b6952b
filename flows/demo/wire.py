"""AWS on the wire: which operation a request means, how services say no, and a loopback server of answers."""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
_SIGNING_NAMES = {"monitoring": "cloudwatch", "eventbridge": "events"}
_GUARDDUTY = {"findings": "ListFindings", "get": "GetFindings", "create": "CreateSampleFindings"}
_S3_OBJECT = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"GET": "GetBucket", "PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}


_LENGTH = "content-length"
_OURS = frozenset({"connection", _LENGTH, "transfer-encoding", "keep-alive"})
"""Headers that belong to a connection, not to a reply."""


class WireRequest(Struct, frozen=True):
    """A request as it came. headers: names and values as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def small(self) -> dict[str, str]:
        """The headers by name in lower case."""
        return {name.lower(): value for name, value in self.headers}


class Caller(Struct, frozen=True):
    """Who signed a request, for where: from its Authorization header."""

    key: str
    region: str
    service: str


class Reply(Struct, frozen=True):
    """A whole HTTP reply; `content-length` is added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def caller(authorization: str) -> Caller | None:
    """Return who signed, None for an unsigned request; service is boto3's name (`cloudwatch`)."""
    found = _CREDENTIAL.search(authorization)
    if not found:
        return None
    key, region, service = found.groups()
    return Caller(key, region, _SIGNING_NAMES.get(service, service))


def operation(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return `service.Operation` of a request, e.g. `logs.FilterLogEvents`; header names in lower case."""
    who = caller(headers.get("authorization", ""))
    service = who.service if who else "s3"
    if "x-amz-target" in headers:
        return f"{service}.{headers['x-amz-target'].rsplit('.', 1)[1]}"
    url = urlsplit(target)
    if service == "s3":
        return f"s3.{_s3_operation(method, url.path, url.query)}"
    if service == "guardduty":
        tail = url.path.rstrip("/").rsplit("/", 1)[-1]
        detector = "ListDetectors" if method == "GET" else "CreateDetector"
        return f"guardduty.{_GUARDDUTY.get(tail, detector if tail == 'detector' else 'Other')}"
    action = parse_qs(body.decode("utf-8", "replace")).get("Action", ["Other"])
    return f"{service}.{action[0]}"


def _s3_operation(method: str, path: str, query: str) -> str:
    options = parse_qs(query, keep_blank_values=True)
    match len([part for part in path.split("/") if part]):
        case 0:
            return "ListBuckets"
        case 1:
            if method == "GET" and "list-type" in options:
                return "ListObjectsV2"
            return _S3_BUCKET.get(method, "DeleteObjects")
        case _:
            return "UploadPart" if "partNumber" in options else _S3_OBJECT.get(method, "Multipart")


def error_reply(service: str, status: int, code: str, message: str) -> Reply:
    """Return an error in the service's own wire form: XML of S3, JSON of all others."""
    request = str(uuid.uuid4())
    if service == "s3":
        xml = (
            f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request}</RequestId></Error>"
        )
        head = (("Content-Type", "application/xml"), ("x-amz-request-id", request))
        return Reply(status, head, f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode())
    kinds = (
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-RequestId", request),
        ("x-amzn-ErrorType", code),
    )
    return Reply(status, kinds, json.dumps({"__type": code, "message": message}).encode())


@contextmanager
def serving(answer: Callable[[WireRequest], Reply]) -> Iterator[str]:
    """Serve until the block ends, in threads of this process; yields the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="demo-aws", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(answer: Callable[[WireRequest], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get(_LENGTH) or 0))
            reply = answer(WireRequest(self.command, self.path, tuple(self.headers.items()), body))
            head = self.command == "HEAD"
            told = next((value for name, value in reply.headers if name.lower() == _LENGTH), "")
            self.send_response_only(reply.status)
            for name, value in reply.headers:
                if name.lower() not in _OURS:
                    self.send_header(name, value)
            self.send_header(_LENGTH, (head and told) or str(len(reply.body)))
            self.end_headers()
            if not head:
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
