"""Every shape of a notice, as a table; then any body at all."""

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.objects.object_ref import ObjectRef
from sources.queues.s3_notification import S3Notification, parse

CAPTURES = Path(__file__).parents[4] / "shared/data/s3_notifications"


def record(key="k", event="ObjectCreated:Put", bucket="b", **found):
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventName": event,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "eTag": "e1", "size": 5, **found}},
    }


def s3(*records):
    return {"Records": list(records)}


def sns(message, **more):
    text = message if isinstance(message, str) else json.dumps(message)
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": text, **more}


def event(key="k", kind="Object Created", **more):
    detail = {"bucket": {"name": "b"}, "object": {"key": key, "size": 5, "etag": "e1"}}
    told = {"version": "0", "source": "aws.s3", "account": "111122223333", "region": "eu-west-1"}
    return {**told, "detail-type": kind, "detail": detail, **more}


REF = ObjectRef("b", "k", "eu-west-1", etag="e1", size=5)
EVENT_REF = ObjectRef("b", "k", "eu-west-1", etag="e1", size=5, account="111122223333")

OBJECTS = {
    "s3": (s3(record()), [REF]),
    "s3 prefixed event name": (s3(record(event="s3:ObjectCreated:Copy")), [REF]),
    "s3 several": (s3(record("a"), record("b")), ["a", "b"]),
    "s3 the same twice": (s3(record(), record()), [REF]),
    "s3 versioned": (
        s3(record(versionId="v1")),
        [ObjectRef("b", "k", "eu-west-1", version_id="v1", etag="e1", size=5)],
    ),
    "s3 before versioning": (s3(record(versionId="null")), [REF]),
    "s3 without etag and region": (
        {
            "Records": [
                {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}
            ]
        },
        [ObjectRef("b", "k")],
    ),
    "s3 created and deleted": (s3(record("a"), record("b", "ObjectRemoved:Delete")), ["a"]),
    "sns": (sns(s3(record())), [REF]),
    "sns in sns": (sns(sns(s3(record()))), [REF]),
    "eventbridge": (event(), [EVENT_REF]),
    "security lake, without a detail-type": (
        {name: value for name, value in event().items() if name != "detail-type"},
        [EVENT_REF],
    ),
    "eventbridge in sns": (sns(event()), [EVENT_REF]),
    "sns in eventbridge": (event(source="aws.sns", detail=sns(s3(record()))), [REF]),
    "sns in eventbridge as text": (event(source="my.pipe", detail=json.dumps(sns(s3(record())))), [REF]),
    "cloudtrail": (
        {"s3Bucket": "b", "s3ObjectKey": ["k1.json.gz", "k2.json.gz"]},
        [ObjectRef("b", "k1.json.gz"), ObjectRef("b", "k2.json.gz")],
    ),
    "cloudtrail in sns": (sns({"s3Bucket": "b", "s3ObjectKey": ["k"]}), [ObjectRef("b", "k")]),
    "control tower: config's delivery": (
        sns({"s3Bucket": "b", "s3ObjectKey": "o-1/AWSLogs/1/Config/x.json.gz", "messageType": "Done"}),
        [ObjectRef("b", "o-1/AWSLogs/1/Config/x.json.gz")],
    ),
    "crowdstrike": (
        {
            "cid": "c",
            "fileCount": 2,
            "totalSize": 9,
            "bucket": "b",
            "pathPrefix": "p",
            "files": [
                {"path": "p/0.gz", "size": 4, "checksum": "m0"},
                {"path": "p/1.gz", "size": 5, "checksum": "m1"},
            ],
        },
        [ObjectRef("b", "p/0.gz", etag="m0", size=4), ObjectRef("b", "p/1.gz", etag="m1", size=5)],
    ),
    "lambda's dead letter of sns": (
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(s3(record()))}}]},
        [REF],
    ),
    "lambda's dead letter of sqs": (
        {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(s3(record()))}]},
        [REF],
    ),
}

CALL = {
    "eventVersion": "1.09",
    "eventSource": "s3.amazonaws.com",
    "eventName": "PutObject",
    "awsRegion": "eu-west-1",
    "recipientAccountId": "111122223333",
    "requestParameters": {"bucketName": "b", "Host": "b.s3.eu-west-1.amazonaws.com", "key": "a+b %2B"},
    "responseElements": {"x-amz-server-side-encryption": "AES256"},
}
CALL_REF = ObjectRef("b", "a+b %2B", "eu-west-1", account="111122223333")


def call(**more):
    return {**CALL, **more}


def told_by_cloudtrail(detail, kind="AWS API Call via CloudTrail", **more):
    return event(kind=kind, **{"detail": detail, **more})


def destination(payload, condition="RetriesExhausted"):
    context = {"requestId": "r", "functionArn": "arn:aws:lambda:eu-west-1:1:function:f:$LATEST"}
    return {
        "version": "1.0",
        "timestamp": "2026-01-02T03:04:05.000Z",
        "requestContext": {**context, "condition": condition, "approximateInvokeCount": 3},
        "requestPayload": payload,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "no"},
    }


OBJECTS |= {
    f"eventbridge, by cloudtrail: {name}": (told_by_cloudtrail(call(eventName=name)), [CALL_REF])
    for name in ("PutObject", "CompleteMultipartUpload", "CopyObject")
} | {
    "cloudtrail's call with a version": (
        told_by_cloudtrail(call(responseElements={"x-amz-version-id": "v1"})),
        [ObjectRef("b", "a+b %2B", "eu-west-1", version_id="v1", account="111122223333")],
    ),
    "cloudtrail's call without an answer": (told_by_cloudtrail(call(responseElements=None)), [CALL_REF]),
    "cloudtrail's call alone, as by InputPath": (call(), [CALL_REF]),
    "cloudtrail's call in sns": (sns(told_by_cloudtrail(call())), [CALL_REF]),
    "eventbridge's detail alone, as by InputPath": (
        {**event()["detail"], "reason": "PutObject", "requester": "1"},
        [ObjectRef("b", "k", etag="e1", size=5)],
    ),
    "eventbridge with a number for an account": (
        event(account=11122223333),
        [ObjectRef("b", "k", "eu-west-1", etag="e1", size=5, account="011122223333")],
    ),
    "eventbridge without account and region": (
        event(account=None, region=None),
        [ObjectRef("b", "k", etag="e1", size=5)],
    ),
    "lambda's destination": (destination(s3(record())), [REF]),
    "lambda's destination of success": (destination(s3(record()), "Success"), [REF]),
    "lambda's destination of sns": (
        destination({"Records": [{"Sns": {"Message": json.dumps(s3(record()))}}]}),
        [REF],
    ),
    "lambda's destination of eventbridge": (destination(event()), [EVENT_REF]),
    "lambda's destination on a bus": (event(source="lambda", detail=destination(s3(record()))), [REF]),
}

OBJECTS |= {
    "a record alone, as Lambda or Step Functions pass it on": (record(), [REF]),
    "a record alone in sns": (sns(record()), [REF]),
    "a batch of records": ([record("a"), record("b")], ["a", "b"]),
    "a batch of eventbridge's, as Pipes give it": ([event("a"), event("b")], ["a", "b"]),
    "a batch of mixed notices": ([event(), sns(s3(record("b")))], ["k", "b"]),
    "cloudtrail's calls as records": ({"Records": [call(), call(errorCode="AccessDenied")]}, [CALL_REF]),
    "null for an etag": (s3(record(eTag=None)), [ObjectRef("b", "k", "eu-west-1", size=5)]),
    "null for crowdstrike's checksum": (
        {"bucket": "b", "files": [{"path": "p/0.gz", "size": None, "checksum": None}]},
        [ObjectRef("b", "p/0.gz")],
    ),
}

IGNORED = {
    "validation": ("CloudTrail validation message.", "validation_message"),
    "validation in sns": (sns("CloudTrail validation message."), "validation_message"),
    "test event": ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, "test_event"),
    "test event in sns": (sns({"Service": "Amazon S3", "Event": "s3:TestEvent"}), "test_event"),
    "deletion": (s3(record(event="ObjectRemoved:DeleteMarkerCreated")), "object_removed"),
    "restore": (s3(record(event="ObjectRestore:Completed")), "object_restore"),
    "lifecycle": (s3(record(event="LifecycleExpiration:Delete")), "object_lifecycle"),
    "tagging": (s3(record(event="ObjectTagging:Put")), "object_tagging"),
    "acl": (s3(record(event="ObjectAcl:Put")), "object_acl"),
    "replication": (s3(record(event="Replication:OperationFailedReplication")), "object_replication"),
    "eventbridge storage class": (event(kind="Object Storage Class Changed"), "object_transition"),
    "eventbridge acl": (event(kind="Object ACL Updated"), "object_acl"),
    "cloudtrail's deletion": (told_by_cloudtrail(call(eventName="DeleteObjects")), "other_call"),
    "cloudtrail's read": (told_by_cloudtrail(call(eventName="GetObject")), "other_call"),
    "cloudtrail's tags": (told_by_cloudtrail(call(eventName="PutObjectTagging")), "other_call"),
    "cloudtrail's refused call": (told_by_cloudtrail(call(errorCode="AccessDenied")), "failed_call"),
    "eventbridge's detail alone, of a deletion": (
        {**event()["detail"], "reason": "DeleteObject", "deletion-type": "Permanently Deleted"},
        "object_deleted",
    ),
    "eventbridge deletion": (event(kind="Object Deleted"), "object_deleted"),
    "eventbridge restore": (event(kind="Object Restore Completed"), "object_restore"),
    "eventbridge tags": (event(kind="Object Tags Added"), "object_tags"),
    "folder": (s3(record("a/b/", size=0)), "folder"),
    "no records": ({"Records": []}, "no_records"),
    "no keys": ({"s3Bucket": "b", "s3ObjectKey": []}, "no_records"),
    "no files": ({"bucket": "b", "files": []}, "no_records"),
    "subscription": ({"Type": "SubscriptionConfirmation", "Token": "t", "Message": "m"}, "subscription"),
    "control tower: config's change": (
        sns({"messageType": "ConfigurationItemChangeNotification"}),
        "config_message",
    ),
}

UNKNOWN = {
    "empty": "",
    "text": "hello",
    "number": "3",
    "list": "[]",
    "null": "null",
    "other json": '{"a": 1}',
    "records that are none": '{"Records": 3}',
    "record of another kind": '{"Records": [{"kinesis": {}}]}',
    "record without key": '{"Records": [{"eventName": "ObjectCreated:", "s3": {"bucket": {"name": "b"}}}]}',
    "empty key": json.dumps(s3(record(""))),
    "key of another type": json.dumps(s3(record(3))),
    "key that is not utf-8": json.dumps(s3(record("%FF"))),
    "s3 event of tomorrow": json.dumps(s3(record(event="ObjectRemovedAndMade:Put"))),
    "eventbridge event of tomorrow": json.dumps(event(kind="Object Created Anew")),
    "eventbridge event of another kind": json.dumps(event(kind="S3 Batch Job State Change")),
    "cloudtrail's call of tomorrow": json.dumps(told_by_cloudtrail(call(eventName="PutObjectSomehow"))),
    "cloudtrail's call without its key": json.dumps(told_by_cloudtrail(call(requestParameters={}))),
    "another service's call": json.dumps(call(eventSource="ec2.amazonaws.com")),
    "eventbridge's detail without a reason": json.dumps(event()["detail"]),
    "messageType that is not config's": '{"messageType": "DATA_MESSAGE", "logEvents": []}',
    "messageType of another type": '{"messageType": ["ComplianceChangeNotification"]}',
    "sns of another type": json.dumps({**sns(s3(record())), "Type": "Message"}),
    "lambda's destination of something else": json.dumps(destination({"a": 1})),
    "lambda's destination without a payload": json.dumps(destination(None)),
    "nested too deep": "[" * 100_000,
    "truncated": json.dumps(s3(record()))[:-3],
    "cloudtrail without key": '{"s3Bucket": "b", "s3ObjectKey": [null]}',
}


def wrapped(times):
    body = s3(record())
    for _ in range(times):
        body = sns(body)
    return json.dumps(body)


@pytest.mark.parametrize("shape", OBJECTS)
def test_h02_shapes_with_objects(shape):
    """Each known form of a notice names its objects."""
    body, expected = OBJECTS[shape]
    found = parse(json.dumps(body))
    keys_only = all(isinstance(one, str) for one in expected)
    assert [ref.key if keys_only else ref for ref in found.objects] == expected
    assert not found.unknown


@pytest.mark.parametrize("shape", IGNORED)
def test_h02_shapes_without_objects(shape):
    """What is known and holds no data has a reason to be counted under, and is not unknown."""
    body, reason = IGNORED[shape]
    assert parse(body if isinstance(body, str) else json.dumps(body)) == S3Notification(ignored=(reason,))


@pytest.mark.parametrize("shape", UNKNOWN)
def test_h02_unknown_bodies(shape):
    """What no rule reads is told as unknown, never raised."""
    found = parse(UNKNOWN[shape])
    assert found.unknown
    assert not found.objects
    assert "\n" not in found.unknown


def test_h02_known_part_of_a_strange_body_is_kept():
    """An unknown record does not hide the objects beside it."""
    found = parse(json.dumps(s3(record("a"), {"what": 1})))
    assert [ref.key for ref in found.objects] == ["a"]
    assert found.unknown


@pytest.mark.parametrize(
    "body",
    [
        {"s3Bucket": "b", "s3ObjectKey": [str(n) for n in range(10_001)]},
        {"bucket": "b", "files": [{"path": str(n)} for n in range(10_001)]},
        s3(*[{"s3": 1}] * 10_001),
        s3(*[{"body": json.dumps({"s3Bucket": "b", "s3ObjectKey": [f"{n}-{m}" for m in range(101)]})}
             for n in range(100)]),
    ],
)  # fmt: skip
def test_a5_a_message_names_so_many_objects(body):
    """A message that names more than honest ones do is unknown as a whole, however it names them."""
    found = parse(json.dumps(body))
    assert "more than 10000 objects" in found.unknown
    assert not found.objects


@pytest.mark.parametrize(
    "size", [-5, True, False, 2**63, 2**64 - 1, 2**200, 1 << 60, "5", 1.5, [5], {"size": 5}, None], ids=str
)
@pytest.mark.parametrize("key", ["k", "k/"])
def test_a4_a_size_that_no_object_has(size, key):
    """A size that is none is unknown: it decides nothing, and the journal can hold it."""
    (ref,) = parse(json.dumps(s3(record(key, size=size)))).objects
    assert (ref.size, type(ref.size)) == (-1, int)


@pytest.mark.parametrize(
    "told", [{"key": "\u00e9" * 513}, {"key": "k" * 1025}, {"versionId": "v" * 1025}, {"eTag": "e" * 200_000}]
)
def test_a4_longer_names_than_s3_has(told):
    """A key, version or etag that S3 cannot have is asked for in vain: the notice is unknown."""
    found = parse(json.dumps(s3(record(**told))))
    assert not found.objects
    assert "1024 bytes" in found.unknown


def test_a4_a_key_as_long_as_s3_allows():
    """1,024 bytes of UTF-8 are a key, however long its encoded form is."""
    (ref,) = parse(json.dumps(s3(record(quote_plus("\u00e9" * 512))))).objects
    assert ref.key == "\u00e9" * 512


def test_envelopes_have_an_end():
    """Envelopes are opened a few times and then called unknown, however deep the body goes."""
    assert parse(wrapped(5)).objects
    assert parse(wrapped(12)).unknown


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%3D1", "a=1"),
        ("a%253D", "a%3D"),
        ("d%C3%ADa", "día"),
        ("a%2Fb", "a/b"),
    ],
)
def test_h01_keys_are_decoded_once(told, key):
    """S3's and SNS's keys are URL-encoded, once."""
    for body in (s3(record(told)), sns(s3(record(told)))):
        assert parse(json.dumps(body)).objects[0].key == key


@pytest.mark.parametrize("key", ["a+b", "a%2Bb", "a%3D1", "100%", "%FF", "a b"])
def test_h01_keys_of_other_forms_stay(key):
    """EventBridge's, CloudTrail's and CrowdStrike's keys are what S3 calls them."""
    bodies = [
        event(key),
        sns(event(key)),
        {"s3Bucket": "b", "s3ObjectKey": [key]},
        {"bucket": "b", "files": [{"path": key}]},
    ]
    assert {parse(json.dumps(body)).objects[0].key for body in bodies} == {key}


POWERTOOLS = "aws-powertools_powertools-lambda-python"
EVENT = f"{POWERTOOLS}/s3EventBridgeNotificationObject"
CAPTURED = {
    "DataDog_datadog-serverless-functions/sqs_s3.json": ["my-key.log"],
    "DataDog_datadog-serverless-functions/sqs_sns_s3.json": ["my-key.log"],
    f"{POWERTOOLS}/s3Event.json": ["b21b84d653bb07b05b1e6b33684dc11b"],
    f"{POWERTOOLS}/s3EventDecodedKey.json": ["Happy Face.jpg"],
    f"{POWERTOOLS}/s3SqsEvent.json": ["test.pdf"],
    f"{POWERTOOLS}/s3EventGlacier.json": ["b21b84d653bb07b05b1e6b33684dc11b"],
    f"{EVENT}CreatedEvent.json": ["IMG_m7fzo3.jpg"],
    f"{POWERTOOLS}/s3EventDeleteObject.json": "object_removed",
    f"{EVENT}DeletedEvent.json": "object_deleted",
    f"{EVENT}ExpiredEvent.json": "object_deleted",
    f"{EVENT}RestoreCompletedEvent.json": "object_restore",
    f"{POWERTOOLS}/snsEvent.json": "",
    f"{POWERTOOLS}/snsSqsEvent.json": "",
    f"{POWERTOOLS}/snsSqsFifoEvent.json": "",
    f"{POWERTOOLS}/sqsEvent.json": "",
    f"{POWERTOOLS}/sqsDlqTriggerEvent.json": "",
}


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures of others are not here")
@pytest.mark.parametrize("name", CAPTURED)
def test_h02_captures(name):
    """Bodies that others published: objects, a reason to ignore them, or unknown ("")."""
    found = parse((CAPTURES / name).read_text())
    expected = CAPTURED[name]
    if isinstance(expected, list):
        assert [ref.key for ref in found.objects] == expected
        assert not found.unknown
    elif expected:
        assert found == S3Notification(ignored=(expected,))
    else:
        assert found.unknown


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures of others are not here")
def test_h02_no_capture_is_left_out():
    """A capture that is added is met by the table above."""
    assert {str(path.relative_to(CAPTURES)) for path in CAPTURES.rglob("*.json")} == set(CAPTURED)


WORDS = """Records Type Message s3 object bucket name key detail source detail-type s3Bucket s3ObjectKey files
path eventName Sns body Event messageType size"""
KEYS = st.sampled_from(WORDS.split())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["Notification", "aws.s3", "ObjectCreated:Put", "Object Created", "k%ZZ", "{}", "[1]"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(JSON)
def test_h02_no_json_breaks_it(value):
    """Whatever JSON comes, something is told about it."""
    found = parse(json.dumps(value))
    assert found.objects or found.ignored or found.unknown
    assert all(ref.bucket and ref.key for ref in found.objects)


@given(st.text())
def test_h02_no_text_breaks_it(body):
    """Whatever text comes, something is told about it."""
    found = parse(body)
    assert found.objects or found.ignored or found.unknown


@given(
    st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])).filter(
        lambda key: not key.endswith("/") and len(key.encode()) <= 1024
    )
)
def test_h01_any_key_survives(key):
    """A key encoded as S3 does, and a key as EventBridge has it, come out as they were."""
    assert parse(json.dumps(s3(record(quote_plus(key))))).objects[0].key == key
    assert parse(json.dumps(event(key))).objects[0].key == key
