"""What AWS answers, read as the collector needs it: mandatory values, and large replies cheaply."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from botocore import xform_name

from sources.errors import Transient

PLAIN = ("cloudwatch-logs.FilterLogEvents", "sqs.ReceiveMessage", "sqs.DeleteMessageBatch")
"""Operations whose replies hold text and numbers only, many of them: read by `read_plainly`."""

_BOTOCORES_OWN = ("Error", "ResponseMetadata")
"""Keys that botocore puts into replies; whatever says them itself is not AWS."""


def call(client: Any, operation: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
    """Ask AWS: an operation by its name in AWS's reference, for those that are named by data.

    boto3 makes its methods when a client is made: their names stand nowhere in code.
    """
    reply: Mapping[str, Any] = getattr(client, xform_name(operation))(**parameters)
    return reply


def sent_headers(request: Any) -> dict[str, str]:
    """Return the headers of a request that botocore has sent, names in lower case."""
    return {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }


def required(reply: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a mandatory value of a reply; raises Transient when it is absent.

    A 200 whose JSON is truncated, or is a proxy's HTML page, comes out of boto3 as `{}` without an
    exception. A default instead of this would let a cursor move over the hole.
    """
    if key not in reply:
        raise hollow(key, where)
    return reply[key]


def following(token: str, before: str, where: str) -> str:
    """Return the token of the page that follows; raises Transient for the one that was just used.

    Followed for ever it would keep a position where it is, and nobody would hear of it.
    """
    if token and token == before:
        raise Transient("a page names itself as the next one", where, "it is tried again from its position")
    return token


def hollow(key: str, where: str) -> Transient:
    """Return the error of a reply that is none; of XML, as STS speaks, botocore raises KeyError itself."""
    hint = "it was cut short or came from a proxy; it is tried again"
    return Transient(f"reply without {key}", where, hint)


def read_plainly(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
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
