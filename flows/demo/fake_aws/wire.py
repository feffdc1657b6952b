"""The fake on the wire: which operation a request means, how services say no, how the fake is controlled."""

import json
import re
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

CONTROL = "/moto-api/ext/"
"""Where control functions are called, by name."""

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
_SIGNING_NAMES = {"monitoring": "cloudwatch", "eventbridge": "events"}
_QUERY_PROTOCOL = {"sts", "iam", "sns"}
_GUARDDUTY = {"findings": "ListFindings", "get": "GetFindings", "create": "CreateSampleFindings"}
_S3_OBJECT = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"GET": "GetBucket", "PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}


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


_THROTTLED = {
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "sts": (400, "Throttling", "Rate exceeded"),
    "guardduty": (429, "TooManyRequestsException", "Too Many Requests"),
}


def throttled(service: str) -> tuple[int, str, str]:
    """Return status, code and message with which a service asks for fewer requests."""
    return _THROTTLED.get(service, (400, "ThrottlingException", "Rate exceeded"))


def error_reply(service: str, status: int, code: str, message: str) -> Reply:
    """Return an error in the service's own wire form."""
    request = str(uuid.uuid4())
    if service == "s3":
        xml = (
            f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request}</RequestId></Error>"
        )
        head = (("Content-Type", "application/xml"), ("x-amz-request-id", request))
        return Reply(status, head, f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode())
    if service in _QUERY_PROTOCOL:
        kind = "Sender" if status < 500 else "Receiver"
        error = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        xml = f"<ErrorResponse>{error}<RequestId>{request}</RequestId></ErrorResponse>"
        return Reply(status, (("Content-Type", "text/xml"), ("x-amzn-RequestId", request)), xml.encode())
    kinds = (
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-RequestId", request),
        ("x-amzn-ErrorType", code),
    )
    return Reply(status, kinds, json.dumps({"__type": code, "message": message}).encode())


def control(url: str, function: str, /, **arguments: Any) -> Any:
    """Call a control function of a fake in another process; returns its result."""
    body = json.dumps(arguments).encode()
    request = urllib.request.Request(f"{url}{CONTROL}{function}", body, method="POST")  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - loopback
        return json.loads(reply.read())
