"""What EventBridge and SNS put into queues, against an oracle of what their documentation says it means.

An EventBridge event is known by the fields that it always has (Amazon EventBridge User Guide, "AWS service
event metadata"); an input path or transformer of a rule takes them away, and then it is no event any more.
SNS wraps what was published as text in `Message`, unless delivery is raw.
"""

import json
from pathlib import Path

import pytest

from sources.queues.events import EventOpener, eventbridge
from sources.queues.object_progress import ALL
from sources.queues.s3 import S3Opener
from sources.queues.sqs import Message
from tests.recordings.notice_oracle import told
from tests.sources.objects.fake_s3 import FakeS3
from transforms.block import Block, Poison

FILE = Path(__file__).parents[3] / "shared/recordings/queue_bodies.jsonl"
RECORDED = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
ALWAYS = {"id", "detail-type", "source", "account", "time", "region", "detail"}

pytestmark = pytest.mark.skipif(not RECORDED, reason="the recordings are not here")
each = pytest.mark.parametrize(
    "body",
    [one["body"] for one in RECORDED],
    ids=[f"{number}-{one['from']}" for number, one in enumerate(RECORDED)],
)


def loaded(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def unwrapped(body):
    """Return what was published, whether SNS wrapped it or not."""
    content = loaded(body)
    is_sns = isinstance(content, dict) and content.get("Type") == "Notification" and "TopicArn" in content
    return unwrapped(content["Message"]) if is_sns else body


def event(body):
    """Return the EventBridge event in a body; None = there is none."""
    content = loaded(unwrapped(body))
    return content if isinstance(content, dict) and content.keys() >= ALWAYS else None


def opened(opener, body):
    message = Message("m", "r", body, queue="q", account="111111111111", region="eu-west-1")
    return [item for cut in opener.open(message, lambda _id: 0) for item in cut.items]


def test_every_recording_is_here():
    """Events whole and cut, texts, notices: all are among the recordings."""
    assert len(RECORDED) == 126
    assert sum(event(one["body"]) is not None for one in RECORDED) > 20
    assert any(told(one["body"]).objects for one in RECORDED)


@each
def test_r6_recorded_body_as_an_event(body):
    """An event passes as it is, once; what is none goes to quarantine as it came."""
    (item,) = opened(EventOpener("service-events-all", eventbridge), body)
    expected = event(body)
    if expected is None:
        assert isinstance(item, Poison)
        assert item.body == body.encode()
        return
    assert isinstance(item, Block)
    assert (item.count, json.loads(item.payload)) == (1, expected)
    assert item.payload == unwrapped(body).strip().encode() + b"\n"
    assert (item.origin.account, item.origin.region) == (expected["account"], expected["region"])


@each
def test_r6_recorded_body_as_a_notice(body, monkeypatch):
    """A notice's objects are asked for by bucket, key and version; what is no notice goes to quarantine."""
    s3, ignored = FakeS3(), []
    monkeypatch.setattr("sources.telemetry.notice_ignored", lambda *told: ignored.append(told))
    items = opened(S3Opener("flowlogs", s3.account, lambda *_: iter(())), body)
    expected = told(body)
    asked = [(one["Bucket"], one["Key"], one.get("VersionId", "")) for one in s3.asked]
    assert asked == [one[:3] for one in expected.objects]
    assert [item.body for item in items] == [body.encode()] * expected.strange
    assert len(ignored) == expected.others


@each
def test_r6_recorded_body_that_comes_again(body):
    """A repeat of what is done emits nothing."""
    message = Message("m", "r", body, queue="q")
    opener = EventOpener("service-events-all", eventbridge)
    assert list(opener.open(message, lambda _id: ALL)) == []
