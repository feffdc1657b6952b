"""Notices made cuts: what is fetched, what is skipped, what goes to quarantine, what stays in the queue."""

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sources.errors import Denied, ObjectArchived, ObjectBusy, ObjectChanged, SourceError, Transient
from sources.objects.decode import DecodedChunk, DecodeLimits, read
from sources.objects.object_ref import ObjectRef
from sources.queues.failure_policy import Rules
from sources.queues.object_progress import ALL
from sources.queues.s3 import S3Opener, _cut
from sources.queues.sqs import Message
from tests.sources.objects.fake_s3 import LOST, FakeS3
from tests.sources.queues.leasing import aws_error
from transforms.block import Block, Origin, Poison
from transforms.layout import Layout

LINES = b"".join(b"line %d\n" % number for number in range(1000))


def reader(body, _ref):
    return read(body, Layout(), DecodeLimits())


@pytest.fixture
def s3(monkeypatch):
    monkeypatch.setattr("sources.objects.body.time.sleep", lambda _: None)
    made = FakeS3()
    made.put("k", LINES)
    return made


def announced(s3, *keys, bucket="b", region="eu-west-1", **more):
    def found(key):
        size = len(s3.objects.get((bucket, key), b"?"))
        return {"key": key, "eTag": s3.etags.get((bucket, key), "none"), "size": size, **more}

    records = [
        {
            "eventName": "ObjectCreated:Put",
            "awsRegion": region,
            "s3": {"bucket": {"name": bucket}, "object": found(key)},
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


def message(body):
    return Message("m1", "r", body, queue="q", account="123456789012", region="us-east-1")


def cuts(s3, body, resume=lambda _: 0, **options):
    opener = S3Opener("flowlogs", s3.account, options.pop("read", reader), **options)
    return opener.open(message(body), resume)


def blocks(found):
    return [item for cut in found for item in cut.items if isinstance(item, Block)]


def payload(found):
    return b"".join(block.payload for block in blocks(found))


def poisons(found):
    return [item for cut in found for item in cut.items if isinstance(item, Poison)]


def until_error(running):
    """Return what came, and the error that came after it."""
    seen = []
    try:
        seen.extend(running)
    except SourceError as error:
        return seen, error
    return seen, None


def counted(body, _ref):
    """Read pieces of a hundred lines, so that an object is several cuts."""
    lines = b"".join(iter(lambda: body.read(700), b"")).splitlines(keepends=True)
    for done in range(0, len(lines), 100):
        yield DecodedChunk(b"".join(lines[done : done + 100]), 100, done + 100)


def test_object_becomes_untagged_blocks_with_their_origin(s3):
    """All events come, with the pointer to where they are from, and an end mark."""
    found = list(cuts(s3, announced(s3, "k"), read=counted))
    assert payload(found) == LINES
    origin = blocks(found)[1].origin
    assert (origin.service, origin.container, origin.object) == ("flowlogs", "q", "s3://b/k")
    assert (origin.version, origin.record) == (s3.etags["b", "k"], 100)
    assert (origin.account, origin.region) == ("123456789012", "eu-west-1")
    assert [cut.records for cut in found] == [*range(100, 1001, 100), 1000]
    assert [cut.last for cut in found] == [False] * 10 + [True]
    assert {cut.object_id for cut in found} == {f"b/k@{s3.etags['b', 'k']}"}


@pytest.mark.parametrize(
    ("key", "account", "region"),
    [
        ("AWSLogs/111122223333/vpcflowlogs/eu-west-3/2024/01/01/x.gz", "111122223333", "eu-west-3"),
        ("p/AWSLogs/o-abc123/111122223333/CloudTrail/us-gov-west-1/x.gz", "111122223333", "us-gov-west-1"),
        ("AWSLogs/111122223333/CloudFront/x.gz", "111122223333", "eu-west-1"),
        (
            "ext/mine/region=ap-south-1/accountId=111122223333/eventDay=20260102/x.gz.parquet",
            "111122223333",
            "ap-south-1",
        ),
        (
            "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=ap-south-1/year=2024/x.gz",
            "111122223333",
            "ap-south-1",
        ),
        ("dnslogs/2024-01-01/x.csv.gz", "123456789012", "eu-west-1"),
    ],
)
def test_origin_is_told_by_the_key(s3, key, account, region):
    """Account and region are those of the logs where the key tells them, else the notice's and queue's."""
    s3.put(key, LINES)
    origin = blocks(cuts(s3, announced(s3, key)))[0].origin
    assert (origin.account, origin.region) == (account, region)


def test_object_goes_on_behind_what_was_emitted(s3):
    """Records that the dataflow has already are read again and not emitted again."""
    found = list(cuts(s3, announced(s3, "k"), lambda _: 350, read=counted))
    assert payload(found) == LINES.split(b"\n", 350)[-1]
    assert blocks(found)[0].origin.record == 350
    assert found[-1].records == 1000


def test_h05_repeat_is_not_fetched(s3):
    """An object that is done is neither fetched nor emitted."""
    assert list(cuts(s3, announced(s3, "k"), lambda _: ALL)) == []
    assert s3.asked == []


def test_h05_overwritten_object_is_the_new_one(s3):
    """An object overwritten since its notice is taken as what it is now; its own notice is a repeat then."""
    body = announced(s3, "k")
    s3.put("k", b"new\n")
    asked = []
    found = list(cuts(s3, body, lambda identity: asked.append(identity) or 0))
    assert payload(found) == b"new\n"
    assert asked[1] == f"b/k@{s3.etags['b', 'k']}" == found[0].object_id
    assert list(cuts(s3, body, {asked[0]: 0, asked[1]: ALL}.get)) == []


def test_h05_notices_without_version_are_known_by_what_was_read(s3):
    """CloudTrail's own form tells no version: the object's own is asked for before anything is emitted."""
    body = json.dumps({"s3Bucket": "b", "s3ObjectKey": ["k"]})
    asked = []
    found = list(cuts(s3, body, lambda identity: asked.append(identity) or 0))
    assert payload(found) == LINES
    assert asked == [f"b/k@{s3.etags['b', 'k']}"]
    assert s3.regions == ["us-east-1"]


def test_busy_object_passes_as_an_error(s3):
    """An object that another lease reads leaves the message in the queue; an open body is closed."""

    def busy(_):
        raise ObjectBusy("busy", "there", "later")

    for body in (announced(s3, "k"), json.dumps({"s3Bucket": "b", "s3ObjectKey": ["k"]})):
        with pytest.raises(ObjectBusy):
            list(cuts(s3, body, busy))


def test_h03_second_object_fails(s3):
    """Of two objects the first is emitted, then the error comes: the message stays."""
    s3.put("z", LINES)

    def fault(**asked):
        if asked["Key"] == "z":
            raise aws_error("GetObject", "AccessDenied", 403)

    s3.fault = fault
    seen, error = until_error(cuts(s3, announced(s3, "k", "z")))
    assert isinstance(error, Denied)
    assert payload(seen) == LINES
    assert seen[-1].last
    assert "s3://b/z" in str(error)


def test_h03_first_object_fails(s3):
    """A failing first object does not keep the others from being collected; its error comes at the end."""
    s3.put("z", LINES)

    def fault(**asked):
        if asked["Key"] == "k":
            raise aws_error("GetObject", "SlowDown", 503)

    s3.fault = fault
    seen, error = until_error(cuts(s3, announced(s3, "k", "z")))
    assert isinstance(error, Transient)
    assert payload(seen) == LINES


def test_h07_missing_object_is_settled(s3):
    """An object that is gone ends with an end mark and nothing else."""
    (cut,) = cuts(s3, announced(s3, "gone"))
    assert (cut.items, cut.last, cut.gone) == ((), True, True)


def test_a6_what_was_read_counts_not_what_was_announced(s3):
    """A version read in place of the announced one is known by its own name: the announced is not done."""
    etag = s3.etags["b", "k"]

    def fault(**asked):
        if "VersionId" in asked:
            raise aws_error("GetObject", "AccessDenied", 403, "Access Denied")
        reply = FakeS3.get_object(whole, **asked)
        return {**reply, "VersionId": "current"}

    whole = FakeS3()
    whole.objects, whole.etags = s3.objects, s3.etags
    s3.fault = fault
    found = list(cuts(s3, announced(s3, "k", versionId="announced")))
    assert payload(found) == LINES
    assert {cut.object_id for cut in found} == {"b/k@current"}
    assert {block.origin.version for block in blocks(found)} == {"current"}
    assert s3.asked[-1]["IfMatch"] == f'"{etag}"'


def test_h07_missing_object_can_be_kept(s3):
    """`object_gone: keep` leaves the message in its queue."""
    with pytest.raises(SourceError):
        list(cuts(s3, announced(s3, "gone"), rules=Rules(object_gone="keep")))


def test_h07_denied_names_bucket_key_and_who(s3):
    """AccessDenied and KMS errors leave the message and say bucket, key, identity and permission."""
    for code, action in (("AccessDenied", "s3:GetObject"), ("KMS.AccessDeniedException", "kms:Decrypt")):

        def fault(_code=code, **_):
            raise aws_error("GetObject", _code, 403)

        s3.fault = fault
        with pytest.raises(Denied) as caught:
            list(cuts(s3, announced(s3, "k")))
        assert all(part in str(caught.value) for part in ("s3://b/k", "input test", action, "kms:Decrypt"))


def test_h07_bucket_of_another_region(s3):
    """The record's region is asked; when S3 tells another one, that one, and at once from then on."""

    def fault(**_):
        if s3.regions[-1] != "ap-south-1":
            raise aws_error("GetObject", "AuthorizationHeaderMalformed", 400, Region="ap-south-1")

    s3.fault = fault
    opener = S3Opener("flowlogs", s3.account, reader)
    for _ in range(2):
        assert payload(opener.open(message(announced(s3, "k")), lambda _: 0)) == LINES
    assert s3.regions == ["eu-west-1", "ap-south-1", "ap-south-1"]


def test_archived_object_goes_to_quarantine(s3):
    """An object in Glacier cannot be read: a pointer to it is kept, and the message settled."""

    def fault(**_):
        raise aws_error("GetObject", "InvalidObjectState", 403)

    s3.fault = fault
    found = list(cuts(s3, announced(s3, "k")))
    (poison,) = poisons(found)
    assert (poison.reason, poison.origin.object, poison.body) == ("object_archived", "s3://b/k", b"")
    assert found[-1].last
    with pytest.raises(ObjectArchived):
        list(cuts(s3, announced(s3, "k"), rules=Rules(unreadable="keep")))


def test_key_filter_settles_unread(s3):
    """Keys that the filter leaves out are neither fetched nor emitted."""
    assert list(cuts(s3, announced(s3, "k"), left_out=lambda _key: "key_filter")) == []
    assert s3.asked == []
    assert payload(cuts(s3, announced(s3, "k"), left_out=lambda _key: "")) == LINES


def test_h02_unknown_notice_goes_to_quarantine(s3):
    """An unknown body is kept whole; known objects beside it are collected."""
    (poison,) = poisons(cuts(s3, "hello"))
    assert (poison.reason, poison.body, poison.origin.container) == ("notice_unknown", b"hello", "q")
    mixed = json.loads(announced(s3, "k"))
    mixed["Records"].append({"what": 1})
    found = list(cuts(s3, json.dumps(mixed)))
    assert payload(found) == LINES
    assert len(poisons(found)) == 1
    with pytest.raises(SourceError):
        list(cuts(s3, "hello", rules=Rules(unreadable="keep")))


def test_h02_test_event_is_settled(s3):
    """What announces nothing emits nothing."""
    assert list(cuts(s3, '{"Service":"Amazon S3","Event":"s3:TestEvent"}')) == []


def test_h10_broken_object_delivers_what_is_good_and_then_a_pointer(s3):
    """Content that breaks is fetched twice; its good part comes once, then the object goes to quarantine."""
    packed = gzip.compress(LINES)
    s3.put("k.gz", packed[: len(packed) // 2])
    found = list(cuts(s3, announced(s3, "k.gz")))
    good = payload(found)
    assert LINES.startswith(good)
    (poison,) = poisons(found)
    assert poison.origin.object == "s3://b/k.gz"
    assert poison.origin.record == good.count(b"\n") == found[-1].records
    assert found[-1].last
    assert len(s3.asked) == 2


def test_h19_content_broken_on_the_way_is_healed(s3):
    """An object that was damaged in transfer is fetched again and goes on behind what was emitted."""
    packed = gzip.compress(LINES)
    s3.put("k.gz", packed)
    damaged = bytearray(packed)
    damaged[len(packed) - 6] ^= 1  # the checksum at the end: all lines come out before the error
    replies = [bytes(damaged)]

    def fault(**asked):
        if replies:
            s3.objects["b", "k.gz"] = replies.pop()
            reply = FakeS3.get_object(whole, **asked)
            s3.objects["b", "k.gz"] = packed
            return reply
        return None

    whole = FakeS3()
    whole.objects, whole.etags = s3.objects, s3.etags
    s3.fault = fault
    found = list(cuts(s3, announced(s3, "k.gz")))
    assert payload(found) == LINES
    assert poisons(found) == []
    assert len(s3.asked) == 2


def test_object_overwritten_before_it_is_fetched_again(s3):
    """A broken object whose second GET brings another version leaves the message in the queue."""
    s3.put("k.gz", gzip.compress(LINES)[:-100])
    body = announced(s3, "k.gz")

    def fault(**_):
        if len(s3.asked) == 2:
            s3.put("k.gz", b"another\n")

    s3.fault = fault
    with pytest.raises(ObjectChanged):
        list(cuts(s3, body))


@pytest.mark.parametrize("at", [0, 1, 699, 5000, len(LINES) - 1])
def test_h19_lost_connection_brings_no_line_twice(s3, at):
    """Wherever the body breaks, each line comes once."""
    s3.cuts = [(at, LOST)]
    assert payload(cuts(s3, announced(s3, "k"), read=counted)) == LINES


def test_closing_in_the_middle_closes_the_body(s3):
    """A generator that is closed in mid-object lets its connection go."""
    opened = []

    def remembering(body, ref):
        opened.append(body)
        return counted(body, ref)

    running = cuts(s3, announced(s3, "k"), read=remembering)
    next(running)
    running.close()
    assert opened[0]._stream._raw_stream.closed


@pytest.mark.parametrize(("size", "told", "most"), [(1000, True, 2), (1000, False, 2), (10, True, 6)])
def test_large_objects_take_turns(s3, monkeypatch, size, told, most):
    """Few are read at once, also of those whose size no notice tells; small ones all."""
    monkeypatch.setattr("sources.queues.s3._LARGE_BYTES", 100)
    monkeypatch.setattr("sources.queues.s3._LARGE_AT_ONCE", 2)
    together, lock, reading, peak = threading.Barrier(most), threading.Lock(), [0], [0]

    def read_in_company(body, ref):
        with lock:
            reading[0] += 1
            peak[0] = max(peak[0], reading[0])
        together.wait(120)
        with lock:
            reading[0] -= 1
        return reader(body, ref)

    keys = [f"k{number}" for number in range(6)]
    for key in keys:
        s3.put(key, b"x" * (size - 1) + b"\n")
    opener = S3Opener("flowlogs", s3.account, read_in_company)
    more = {} if told else {"size": None}
    with ThreadPoolExecutor(len(keys)) as pool:
        found = pool.map(
            lambda key: list(opener.open(message(announced(s3, key, **more)), lambda _: 0)), keys
        )
        assert sum(len(payload(one)) for one in found) == size * len(keys)
    assert peak[0] == most


def test_r3_a_damaged_record_is_poison_with_its_place():
    """It has its bytes, its object and its number; progress goes on behind it."""
    piece = DecodedChunk(
        b'{"p":"c:\\q"}', 1, 8, reason="json_broken", detail="no JSON, at byte 70 of the text"
    )
    origin = Origin("s", object="s3://b/k", record=7)
    cut = _cut(piece, ObjectRef("b", "k"), origin)
    (poison,) = cut.items
    assert (poison.reason, poison.body, poison.origin.record) == ("json_broken", piece.payload, 7)
    assert "at byte 70" in poison.detail
    assert "s3://b/k" in poison.detail
    assert cut.records == 8


def test_who_asks_is_told_of_what_was_read(s3):
    """Each object that was read to its end is told, by a notice or alone; one that failed is not."""
    told = []
    opener = S3Opener("flowlogs", s3.account, reader)
    opener.noted = told.append
    list(opener.open(message(announced(s3, "k")), lambda _: 0))
    list(opener.one(ObjectRef("b", "k")))
    assert [ref.key for ref in told] == ["k", "k"]

    def fault(**_):
        raise aws_error("GetObject", "AccessDenied", 403)

    s3.fault = fault
    with pytest.raises(Denied):
        list(opener.open(message(announced(s3, "k")), lambda _: 0))
    assert len(told) == 2
