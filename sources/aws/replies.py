"""What AWS answers, read as the collector needs it: mandatory values, and large replies cheaply."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from botocore import xform_name

from sources.errors import Transient

PLAIN = ("cloudwatch-logs.FilterLogEvents", "sqs.ReceiveMessage", "sqs.DeleteMessageBatch")
"""Operations whose replies hold text and numbers only, many of them: read by `read_plainly`."""

CHECKED = {**dict.fromkeys(PLAIN, ""), "s3.ListObjectsV2": "IsTruncated"}
"""Operations that many places ask for, and a key that each of their replies has, "" = none."""

_BOTOCORES_OWN = ("Error", "ResponseMetadata")
"""Keys that botocore puts into replies; whatever says them itself is not AWS."""

_NO_JSON = "CollectorNoJson"
_FOREIGN = "it was cut short or came from a proxy; it is tried again"


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


class PageTokens:
    """The tokens that lead from page to page: one that comes again leads round for ever, in silence.

    One is remembered, each time from twice as many pages on: it comes again however long the way round.
    """

    def __init__(self, where: str) -> None:
        self._where, self._remembered = where, ""
        self._pages, self._next = 0, 1

    def following(self, token: str) -> str:
        """Return the token of the page that follows; raises Transient for the one that is remembered."""
        if token and token == self._remembered:
            hint = "it is tried again from its position"
            raise Transient("a page names itself or one before it as the next one", self._where, hint)
        self._pages += 1
        if self._pages == self._next:
            self._remembered, self._next = token, 2 * self._next
        return token


def hollow(key: str, where: str) -> Transient:
    """Return the error of a reply that is none; of XML, as STS speaks, botocore raises KeyError itself."""
    return Transient(f"reply without {key}", where, _FOREIGN)


def read_json(body: bytes) -> Any:
    """Return what JSON says; half a surrogate pair too, which orjson refuses. Raises ValueError."""
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def read_plainly(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read a reply at once; botocore's walk over its shapes makes the same of it at ten times the cost.

    Errors are left to botocore, and what is no JSON, of which it makes an empty reply: that is noted.
    """
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        found = read_json(response_dict["body"])
    except (ValueError, RecursionError):
        customized_response_dict[_NO_JSON] = True
        return
    if isinstance(found, dict):
        said = {key: value for key, value in found.items() if value is not None and key not in _BOTOCORES_OWN}
        customized_response_dict.update(said)
        response_dict["body"] = b"{}"


def not_hollow(key: str, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Refuse what is no reply of AWS's, when it is counted already: an empty queue or folder looks the same.

    key: that each reply has, "" = none. Raises Transient.
    """
    if parsed.pop(_NO_JSON, False):
        raise Transient("reply is no JSON", model.name, _FOREIGN)
    if key and key not in parsed and "Error" not in parsed:
        raise hollow(key, model.name)
