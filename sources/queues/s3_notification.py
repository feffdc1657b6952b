"""What a queue message announces: its body → references to S3 objects. Pure.

Recognised, in each other as often as they come (SNS in EventBridge, EventBridge in SNS, a redriven record):

    {"Records": [{"s3": …}]}                 S3 event                keys URL-encoded: decoded once
    {"Records": [{"Sns": …} | {"body": …}]}  records of a Lambda trigger that failed into a queue
    {"Type": "Notification", "Message": …}   SNS envelope; with raw delivery only its Message comes
    {"source": "aws.s3", "detail": …}        EventBridge, also Security Lake's   keys as they are
    {"bucket": …, "object": …, "reason": …}  its detail alone (InputPath `$.detail`)
    {"eventSource": "s3.amazonaws.com", …}   an S3 call as CloudTrail tells it, in EventBridge or alone
    {"requestContext", "requestPayload"}     what a Lambda destination says of an invocation
    {"s3Bucket", "s3ObjectKey": …}           CloudTrail's and Config's own SNS form (Control Tower)
    {"bucket", "files": [{"path"}]}          CrowdStrike FDR batch
    {"eventName", "s3": …} | [notice, …]     a record alone, a batch
    CloudTrail validation message.           and s3:TestEvent, deletions, restores …: nothing to collect

What holds nothing is known by name (Amazon S3 User Guide, "Supported event types" and "EventBridge event
message structure"; AWS Config Developer Guide, "Notifications that AWS Config sends"); any other is unknown.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import chain, islice
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote_plus

import orjson
from msgspec import Struct

from sources.objects.object_ref import ObjectRef

_DEPTH = 6
"""Envelopes within envelopes; more is nobody's notice."""

MOST_OBJECTS = 10_000
"""Things that one message may name. CrowdStrike's longest batches name hundreds; a message of nothing but
keys could name 260,000 in SQS's 1 MiB.
"""

_LONGEST_BYTES, _LARGEST_BYTES = 1024, 50 << 40
"""Of a key and a version, of an object: Amazon S3 User Guide, "Naming objects", "Working with objects"."""

_VALIDATION = "CloudTrail validation message"

_EVENTS = {
    "ObjectRemoved": "object_removed",
    "ObjectRestore": "object_restore",
    "ObjectTagging": "object_tagging",
    "ObjectAcl": "object_acl",
    "LifecycleExpiration": "object_lifecycle",
    "LifecycleTransition": "object_lifecycle",
    "IntelligentTiering": "object_transition",
    "Replication": "object_replication",
    "ReducedRedundancyLostObject": "object_lost",
    "Object Deleted": "object_deleted",
    "Object Restore Initiated": "object_restore",
    "Object Restore Completed": "object_restore",
    "Object Restore Expired": "object_restore",
    "Object Storage Class Changed": "object_transition",
    "Object Access Tier Changed": "object_transition",
    "Object ACL Updated": "object_acl",
    "Object Tags Added": "object_tags",
    "Object Tags Deleted": "object_tags",
}
"""S3 event (up to its colon) or EventBridge detail-type → label of what announces no new object."""

_CREATING_CALLS = frozenset(
    {"PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject", "POST Object", "RenameObject"}
)
"""S3 calls after which there is an object: CloudTrail's eventName, EventBridge's reason."""

_OTHER_CALLS = re.compile(
    r"(?:Get|Head|List|Delete|Abort|Select|Create|Upload|Restore|Options|PutBucket|"
    r"PutObject(?:Acl|Tagging|LegalHold|Retention|LockConfiguration)$)[A-Za-z]*"
)
"""S3 calls after which there is none."""

_CONFIG_MESSAGES = frozenset(
    {
        "ComplianceChangeNotification",
        "ConfigRulesEvaluationStarted",
        "ConfigurationHistoryDeliveryCompleted",
        "ConfigurationItemChangeNotification",
        "ConfigurationSnapshotDeliveryCompleted",
        "ConfigurationSnapshotDeliveryFailed",
        "ConfigurationSnapshotDeliveryStarted",
        "OversizedConfigurationItemChangeDeliveryFailed",
        "OversizedConfigurationItemChangeNotification",
    }
)
_TOO_MANY = f"it names more than {MOST_OBJECTS} objects"
_HANDSHAKES = frozenset({"SubscriptionConfirmation", "UnsubscribeConfirmation"})


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
    found = list(islice(_text(body, 0), MOST_OBJECTS + 1))
    if len(found) > MOST_OBJECTS:
        return S3Notification(unknown=_TOO_MANY)
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
    """Read a value by the first rule that fits; of a list (EventBridge Pipes' batches), each."""
    if value and isinstance(value, list):
        value = {"Records": value}
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
        return list(islice(rule(value, depth), MOST_OBJECTS + 1))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [_Unknown(f"{rule.__name__.strip('_')}: {type(error).__name__} {error}"[:200])]


def _envelope(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    """SNS: a notification holds the message as text; the handshakes of a subscription hold none."""
    if value["Type"] in _HANDSHAKES:
        return [_Ignored("subscription")]
    if value["Type"] != "Notification":
        return [_Unknown(f"an SNS message of type {str(value['Type'])[:60]}")]
    return _text(_string(value["Message"]), depth + 1)


def _records(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    if not value["Records"]:
        return [_Ignored("no_records")]
    records = _few(value["Records"])
    return chain.from_iterable(_tried(_record, record, depth) for record in records)


def _record(record: dict[str, Any], depth: int) -> Iterable[_Found]:
    if "s3" in record:
        return _of_s3(record, depth)
    if "Sns" in record:
        return _text(_string(record["Sns"]["Message"]), depth + 1)
    if "body" in record:
        return _text(_string(record["body"]), depth + 1)
    return _value(record, depth + 1)


def _of_s3(record: dict[str, Any], _depth: int) -> Iterable[_Found]:
    return [_s3_record(record)]


def _s3_record(record: dict[str, Any]) -> _Found:
    event = _string(record["eventName"]).removeprefix("s3:")
    if not event.startswith("ObjectCreated"):
        return _no_object(event)
    found = record["s3"]["object"]
    return _object(
        record["s3"]["bucket"]["name"],
        unquote_plus(_string(found["key"]), errors="strict"),
        found,
        {"region": record.get("awsRegion", "")},
        found.get("eTag"),
    )


def _eventbridge(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    detail, kind = value["detail"], _string(value.get("detail-type", "Object Created"))
    if value.get("source") != "aws.s3":
        return _inner(detail, depth)
    if kind.endswith("via CloudTrail"):
        return [_call(detail, value)]
    if kind != "Object Created":
        return [_no_object(kind)]
    return [_created(detail, value)]


def _created(detail: dict[str, Any], told: dict[str, Any]) -> _Found:
    found = detail["object"]
    return _object(detail["bucket"]["name"], found["key"], found, told, found.get("etag"))


def _detail(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    """Read an S3 event's detail that came alone: its reason says what happened; it has no region."""
    if value.get("reason") in _CREATING_CALLS:
        return [_created(value, {})]
    if "deletion-type" in value:
        return [_Ignored("object_deleted")]
    return [_Unknown(f"an S3 event's detail whose reason is {str(value.get('reason', 'not told'))[:60]}")]


def _cloudtrail(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    return [_call(value, {})]


def _call(call: dict[str, Any], told: dict[str, Any]) -> _Found:
    """Read a call of S3 as CloudTrail writes it: with a version where the bucket keeps them, without etag."""
    name = _string(call["eventName"])
    if call.get("errorCode"):
        return _Ignored("failed_call")
    if name in _CREATING_CALLS:
        asked, answered = call["requestParameters"], call.get("responseElements") or {}
        version = {"versionId": answered.get("x-amz-version-id")}
        told = {"region": call.get("awsRegion"), "account": call.get("recipientAccountId"), **told}
        return _object(asked["bucketName"], asked["key"], version, told)
    if _OTHER_CALLS.fullmatch(name):
        return _Ignored("other_call")
    return _Unknown(f"an S3 call named {name[:60]}")


def _lambda_destination(value: dict[str, Any], depth: int) -> Iterable[_Found]:
    """Read what a function was called with, whatever came of it."""
    return _inner(value["requestPayload"], depth)


def _inner(value: Any, depth: int) -> Iterator[_Found]:
    return _text(value, depth + 1) if isinstance(value, str) else _value(value, depth + 1)


def _own_form(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    """CloudTrail names a list of keys, AWS Config one."""
    keys = value["s3ObjectKey"]
    keys = [keys] if isinstance(keys, str) else _few(keys)
    return [_object(value["s3Bucket"], key, {}, {}) for key in keys] or [_Ignored("no_records")]


def _config_message(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    """AWS Config sends much more than deliveries to the topics of Control Tower."""
    kind = value["messageType"]
    known = isinstance(kind, str) and kind in _CONFIG_MESSAGES
    return [_Ignored("config_message") if known else _Unknown(f"a message of type {str(kind)[:60]}")]


def _crowdstrike(value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    bucket = value["bucket"]
    files = _few(value["files"])
    return [_object(bucket, file["path"], file, {}, file.get("checksum")) for file in files] or [
        _Ignored("no_records")
    ]


def _test_event(_value: dict[str, Any], _depth: int) -> Iterable[_Found]:
    return [_Ignored("test_event")]


def _object(bucket: Any, key: Any, found: dict[str, Any], told: dict[str, Any], etag: Any = None) -> _Found:
    """found: what has size and version. told: what has region and account."""
    size = found.get("size", -1)
    if not _string(bucket) or not _string(key):
        raise ValueError("an empty bucket or key")
    size = size if type(size) is int and 0 <= size <= _LARGEST_BYTES else -1
    if key.endswith("/") and size == 0:
        return _Ignored("folder")
    version = _string(found.get("versionId") or found.get("version-id") or "")
    version, etag = "" if version == "null" else version, "" if etag is None else etag
    if any(len(part.encode()) > _LONGEST_BYTES for part in (key, version, _string(etag))):
        raise ValueError(f"a key, version or etag of more than {_LONGEST_BYTES} bytes")
    return ObjectRef(
        bucket,
        key,
        label(told.get("region")),
        version,
        _string(etag).strip('"'),
        size,
        label(told.get("account")),
    )


def _no_object(event: str) -> _Found:
    """Return why an event that announces no new object is ignored; one of another name is unknown."""
    reason = _EVENTS.get(event.partition(":")[0])
    return _Ignored(reason) if reason else _Unknown(f"an S3 event named {event[:60]}")


_S = TypeVar("_S", bound=Sized)


def _few(things: _S) -> _S:
    """Return a list that is no longer than any message of honest origin."""
    if len(things) > MOST_OBJECTS:
        raise ValueError(_TOO_MANY)
    return things


def label(value: Any) -> str:
    """Return an account or region; a value of another type is an account's number, or nothing."""
    if isinstance(value, str):
        return value
    return f"{value:012d}" if type(value) is int else ""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where text belongs")
    return value


_Rule: TypeAlias = Callable[[dict[str, Any], int], Iterable[_Found]]
_RULES: tuple[tuple[Callable[[dict[str, Any]], bool], _Rule], ...] = (
    (lambda value: "Records" in value, _records),
    (lambda value: "Type" in value and ("Message" in value or "Token" in value), _envelope),
    (lambda value: "detail" in value and "source" in value, _eventbridge),
    (lambda value: "bucket" in value and "object" in value, _detail),
    (lambda value: value.get("eventSource") == "s3.amazonaws.com", _cloudtrail),
    (lambda value: "requestContext" in value and "requestPayload" in value, _lambda_destination),
    (lambda value: "s3Bucket" in value and "s3ObjectKey" in value, _own_form),
    (lambda value: "messageType" in value, _config_message),
    (lambda value: "bucket" in value and "files" in value, _crowdstrike),
    (lambda value: value.get("Event") == "s3:TestEvent", _test_event),
    (lambda value: "s3" in value and "eventName" in value, _of_s3),
)
