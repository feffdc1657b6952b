"""Events within JSON documents: under a key, in Firehose's envelopes, in log subscriptions. Pure.

Each function takes one document and returns its events, whose bytes stay as they are where they can. Raises
ValueError with what the document lacks.
"""

import json
from collections.abc import Mapping, Sequence

import msgspec

from transforms.layout import Unwrap

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_SHOWN = 5
CONTROL = "CONTROL_MESSAGE"
"""What CloudWatch Logs sends to see whether a destination can be reached; it holds no events."""


class _LogEvent(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw(b'""')
    timestamp: msgspec.Raw = msgspec.Raw(b"null")
    message: msgspec.Raw = msgspec.Raw(b'""')


class _Subscription(msgspec.Struct, gc=False, rename="camel"):
    message_type: str = ""
    owner: msgspec.Raw = msgspec.Raw(b'""')
    log_group: msgspec.Raw = msgspec.Raw(b'""')
    log_stream: msgspec.Raw = msgspec.Raw(b'""')
    log_events: list[_LogEvent] | None = None


_SUBSCRIPTION = msgspec.json.Decoder(_Subscription)


def under(path: Sequence[str], include: Mapping[str, str], rename: Mapping[str, str]) -> Unwrap:
    """Return what takes the events from under a path of keys: an array's elements, or one object.

    include: key beside the path's first → its name in each event, put at the event's beginning.
    rename: key of an event → its new name.
    """

    def unwrap(document: bytes) -> list[bytes]:
        outer = fields(document)
        found = _elements(_walked(outer, path))
        added = {new: outer[old] for old, new in include.items() if old in outer}
        return [_with(_renamed(event, rename), added) for event in found] if added or rename else found

    return unwrap


def within(path: Sequence[str], inner: Sequence[str], take: Unwrap) -> Unwrap:
    """Return what takes events from under a second path of keys, in each of those that `take` finds.

    path: the first one, for messages.
    """

    def unwrap(document: bytes) -> list[bytes]:
        found = take(document)
        try:
            return [event for one in found for event in _elements(_walked(fields(bytes(one)), inner))]
        except ValueError as error:
            raise ValueError(f"under {'.'.join(path) or 'the top'}: {error}") from error

    return unwrap


def lines_under(paths: Sequence[str]) -> Unwrap:
    """Return what takes lines of text from under each of several keys."""

    def unwrap(document: bytes) -> list[bytes]:
        outer = fields(document)
        known = [outer[key] for key in paths if key in outer]
        if not known:
            raise ValueError(f"the document has no {' or '.join(paths)}, but {_has(outer)}")
        lines = (line.removesuffix(b"\r") for raw in known for line in _text(raw).split(b"\n"))
        return [line for line in lines if line.strip()]

    return unwrap


def log_events(document: bytes) -> list[bytes]:
    """Return the log events of a CloudWatch Logs subscription, spelt as those read from its API."""
    batch = _subscription(document)
    if batch.message_type == CONTROL:
        return []
    if batch.log_events is None:
        raise ValueError("the document has no logEvents")
    begin = b'{"logGroup":%b,"logStream":%b,"timestamp":' % (bytes(batch.log_group), bytes(batch.log_stream))
    end = b',"account":%b}' % bytes(batch.owner)
    return [
        b"".join([begin, event.timestamp, b',"eventId":', event.id, b',"message":', event.message, end])
        for event in batch.log_events
    ]


def carried(document: bytes) -> list[bytes]:
    """Return what Firehose was given: a log subscription's messages, an event's detail, or itself."""
    outer = fields(document)
    if "messageType" in outer:
        batch = _subscription(document)
        if batch.message_type == CONTROL:
            return []
        texts = (_text(bytes(event.message)) for event in batch.log_events or ())
        return [b" ".join(text.splitlines()) for text in texts if text.strip()]
    if "detail" in outer and "detail-type" in outer:
        return [outer["detail"]]
    return [document]


def fields(document: bytes) -> dict[str, bytes]:
    """Return the raw values of an object, by key."""
    try:
        return {key: bytes(raw) for key, raw in _OBJECT.decode(document).items()}
    except msgspec.ValidationError as error:
        raise ValueError("the document is no JSON object") from error
    except (msgspec.DecodeError, RecursionError):
        return _lenient(document)


def _lenient(document: bytes) -> dict[str, bytes]:
    """Read what the strict parser does not: control characters in strings, half surrogate pairs."""
    try:
        found = json.loads(document, strict=False)
        return {key: json.dumps(value, separators=(",", ":")).encode() for key, value in found.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError("the document is no JSON object") from error


def _subscription(document: bytes) -> _Subscription:
    try:
        return _SUBSCRIPTION.decode(document)
    except (msgspec.MsgspecError, RecursionError):
        whole = b"{%b}" % b",".join(
            b'"%b":%b' % (key.encode(), raw) for key, raw in _lenient(document).items()
        )
        try:
            return _SUBSCRIPTION.decode(whole)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"the document is no log subscription ({error})") from error


def _walked(outer: Mapping[str, bytes], path: Sequence[str]) -> bytes:
    found: bytes = b""
    level = outer
    for number, key in enumerate(path):
        if key not in level:
            raise ValueError(f"the document has no {'.'.join(path[: number + 1])}, but {_has(level)}")
        found = level[key]
        level = fields(found) if number + 1 < len(path) else {}
    return found


def _elements(raw: bytes) -> list[bytes]:
    if raw.startswith(b"["):
        try:
            return [bytes(one) for one in _ARRAY.decode(raw)]
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"an array is not valid JSON ({error})") from error
    return [] if raw == b"null" else [raw]


def _renamed(event: bytes, names: Mapping[str, str]) -> bytes:
    if not names or not event.startswith(b"{"):
        return event
    return joined({names.get(key, key): raw for key, raw in fields(event).items()})


def _with(event: bytes, added: Mapping[str, bytes]) -> bytes:
    if not added or not event.startswith(b"{"):
        return event
    begin, rest = joined(added), event[1:].lstrip()
    return begin if rest == b"}" else begin[:-1] + b"," + rest


def joined(values: Mapping[str, bytes]) -> bytes:
    """Return an object of raw values, by key."""
    pairs = [msgspec.json.encode(key) + b":" + raw for key, raw in values.items()]
    return b"{" + b",".join(pairs) + b"}"


def _text(raw: bytes) -> bytes:
    """Return a JSON string's text; another value as it is."""
    if not raw.startswith(b'"'):
        return raw
    try:
        return _TEXT.decode(raw).encode()
    except msgspec.MsgspecError:
        return str(json.loads(raw, strict=False)).encode(errors="replace")


def _has(level: Mapping[str, bytes]) -> str:
    return ", ".join(sorted(level)[:_SHOWN]) or "nothing"
