"""How the fake is controlled from another process, and how services say no."""

import json
import urllib.request
import uuid
from typing import Any

from flows.demo import wire
from flows.demo.wire import Reply

CONTROL = "/moto-api/ext/"
"""Where control functions are called, by name."""

_THROTTLED = {
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "sts": (400, "Throttling", "Rate exceeded"),
    "guardduty": (429, "TooManyRequestsException", "Too Many Requests"),
}


def throttled(service: str) -> tuple[int, str, str]:
    """Return status, code and message with which a service asks for fewer requests."""
    return _THROTTLED.get(service, (400, "ThrottlingException", "Rate exceeded"))


def error_reply(service: str, status: int, code: str, message: str) -> Reply:
    """Return an error in the service's own wire form, that of the query protocol included."""
    if service not in {"sts", "iam", "sns"}:
        return wire.error_reply(service, status, code, message)
    request = str(uuid.uuid4())
    kind = "Sender" if status < 500 else "Receiver"
    error = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    xml = f"<ErrorResponse>{error}<RequestId>{request}</RequestId></ErrorResponse>"
    return Reply(status, (("Content-Type", "text/xml"), ("x-amzn-RequestId", request)), xml.encode())


def control(url: str, function: str, /, **arguments: Any) -> Any:
    """Call a control function of a fake in another process; returns its result."""
    body = json.dumps(arguments).encode()
    request = urllib.request.Request(f"{url}{CONTROL}{function}", body, method="POST")  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - loopback
        return json.loads(reply.read())
