"""What a queue message announces: its body → references to S3 objects. Pure.

Recognised, in each other as often as they come (SNS in EventBridge, EventBridge in SNS, a redriven record):

    {"Records": [{"s3": …}]}                 S3 event                keys URL-encoded: decoded once
    {"Records": [{"Sns": …} | {"body": …}]}  records of a Lambda trigger that failed into a queue
    {"Type": "Notification", "Message": …}   SNS envelope; with raw delivery only its Message comes
    {"source": "aws.s3", "detail": …}        EventBridge, also Security Lake's   keys as they are
    {"s3Bucket", "s3ObjectKey": …}           CloudTrail's and Config's own SNS form (Control Tower)
    {"bucket", "files": [{"path"}]}          CrowdStrike FDR batch
    CloudTrail validation message.           and s3:TestEvent, deletions, restores …: nothing to collect
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

import orjson
from msgspec import Struct

from sources.objects.object_ref import ObjectRef

_DEPTH = 6
"""Envelopes within envelopes; more is nobody's notice."""

_VALIDATION = "CloudTrail validation message"


class S3Notification(Struct, frozen=True):
    """What a message announces; any of the three may be there.

    ignored: one reason for each thing in it that is known and holds no data. unknown: why (part of) it is not
    understood, "" = all is.
    """

    objects: tuple[ObjectRef, ...] = ()
    ignored: tuple[str, ...] = ()
    unknown: str = ""


class _Ignored(Struct, frozen=True):
    reason: str


class _Unknown(Struct, frozen=True):
    """A part that no rule reads; what it looks like."""

    what: str


_Found: TypeAlias = ObjectRef | _Ignored | _Unknown


def parse(body: str) -> S3Notification:
    """Return what a message body announces; never raises, whatever the body is."""
    found = list(_text(body, 0))
    unknown = [part.what for part in found if isinstance(part, _Unknown)]
    return S3Notification(
        tuple({part.id: part for part in found if isinstance(part, ObjectRef)}.values()),
        tuple(part.reason for part in found if isinstance(part, _Ignored)),
        "; ".join(unknown[:3]),
    )


def _text(text: str, depth: int) -> Iterator[_Found]:
    if text.lstrip().startswith(_VALIDATION):
        yield _Ignored("validation_message")
        return
    try:
        value = orjson.loads(text)
    except ValueError:
        yield _Unknown("the body is not JSON")
        return
    yield from _value(value, depth)


def _value(value: Any, depth: int) -> Iterator[_Found]:
    """Read a value by the first rule that fits."""
    if depth > _DEPTH or not isinstance(value, dict):
        yield _Unknown(f"a JSON {type(value).__name__} is no notice")
        return
    rule = next((rule for fits, rule in _RULES if fits(value)), None)
    if rule is None:
        yield _Unknown(f"no known notice has the keys {', '.join(sorted(value)[:8])}"[:200])
        return
    yield from _tried(rule, value, depth)


def _tried(rule: "_Rule", value: Any, depth: int) -> Iterable[_Found]:
    """Apply a rule; a wrong type or a missing key in its reach makes the value unknown."""
    try:
        return list(rule(value, depth))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [_Unknown(f"{rule.__name__.strip('_')}: {type(error).__name__} {error}"[:200])]


def _envelope(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    """SNS: a notification holds the message as text; the handshakes of a subscription hold none."""
    if value["Type"] != "Notification":
        return [_Ignored("subscription")]
    return _text(_string(value["Message"]), depth + 1)


def _records(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    if not value["Records"]:
        return [_Ignored("no_records")]
    return chain.from_iterable(_tried(_record, record, depth) for record in value["Records"])


def _record(record: dict[str, Any], depth: int) -> Iterable[_Found]:
    if "s3" in record:
        return [_s3_record(record)]
    if "Sns" in record:
        return _text(_string(record["Sns"]["Message"]), depth + 1)
    if "body" in record:
        return _text(_string(record["body"]), depth + 1)
    raise ValueError("a record of an unknown kind")


def _s3_record(record: dict[str, Any]) -> _Found:
    event = _string(record["eventName"]).removeprefix("s3:")
    if not event.startswith("ObjectCreated"):
        return _Ignored(_reason(event))
    found = record["s3"]["object"]
    return _object(
        record["s3"]["bucket"]["name"],
        unquote_plus(_string(found["key"]), errors="strict"),
        found,
        {"region": record.get("awsRegion", "")},
        found.get("eTag", ""),
    )


def _eventbridge(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    detail, kind = value["detail"], _string(value.get("detail-type", "Object Created"))
    if value.get("source") != "aws.s3":
        return _text(detail, depth + 1) if isinstance(detail, str) else _value(detail, depth + 1)
    if kind != "Object Created":
        return [_Ignored(_reason(kind))]
    found = detail["object"]
    return [_object(detail["bucket"]["name"], found["key"], found, value, found.get("etag", ""))]


def _own_form(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    """CloudTrail names a list of keys, AWS Config one."""
    keys = value["s3ObjectKey"]
    keys = [keys] if isinstance(keys, str) else keys
    return [_object(value["s3Bucket"], key, {}, {}) for key in keys] or [_Ignored("no_records")]


def _config_message(_value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    """AWS Config tells much more than deliveries on the topics of Control Tower."""
    return [_Ignored("config_message")]


def _crowdstrike(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    bucket = value["bucket"]
    return [_object(bucket, file["path"], file, {}, file.get("checksum", "")) for file in value["files"]] or [
        _Ignored("no_records")
    ]


def _test_event(_value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    return [_Ignored("test_event")]


def _object(bucket: Any, key: Any, found: dict[str, Any], told: dict[str, Any], etag: Any = "") -> _Found:
    """found: what tells size and version. told: what tells region and account."""
    size = found.get("size", -1)
    if not _string(bucket) or not _string(key):
        raise ValueError("an empty bucket or key")
    if key.endswith("/") and size == 0:
        return _Ignored("folder")
    version = _string(found.get("versionId") or found.get("version-id") or "")
    version = "" if version == "null" else version
    return ObjectRef(
        bucket,
        key,
        _string(told.get("region", "")),
        version,
        _string(etag).strip('"'),
        size if isinstance(size, int) else -1,
        _string(told.get("account", "")),
    )


def _reason(event: str) -> str:
    """Return a metric's label of a bounded set for an event that announces no new object."""
    words = event.lower().replace(" ", "")
    known = ("removed", "deleted", "restore", "lifecycle", "expiration", "transition", "tagging", "tags")
    return next((f"object_{word}" for word in known if word in words), "other_event")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where text belongs")
    return value


_Rule: TypeAlias = Callable[[dict[str, Any], int], Iterable[_Found]]
_RULES: tuple[tuple[Callable[[dict[str, Any]], bool], _Rule], ...] = (
    (lambda value: "Records" in value, _records),
    (lambda value: "Type" in value and ("Message" in value or "Token" in value), _envelope),
    (lambda value: "detail" in value and "source" in value, _eventbridge),
    (lambda value: "s3Bucket" in value and "s3ObjectKey" in value, _own_form),
    (lambda value: "messageType" in value, _config_message),
    (lambda value: "bucket" in value and "files" in value, _crowdstrike),
    (lambda value: value.get("Event") == "s3:TestEvent", _test_event),
)
