"""EventBridge envelopes: whole bytes, tags by type."""

import json

import pytest

from transforms.block import Block, Origin
from transforms.eventbridge import EventBridgeOptions, event_type_of, transform
from transforms.tagged import Stamp
from transforms.tags import TagRule

ORIGIN = Origin("service-events-all", "111122223333", "us-west-1", "events.fifo")


def envelope(source="aws.ec2", kind="EC2 Instance State-change Notification", **more):
    return json.dumps({"version": "0", "detail-type": kind, "source": source, **more}).encode()


ALARM = envelope("aws.cloudwatch", "CloudWatch Alarm State Change", detail={"alarmName": "a"})
CONFIGURED = envelope("aws.cloudwatch", "CloudWatch Alarm Configuration Change")
PLAIN = envelope(detail={"state": "naïve", "source": "aws.cloudwatch"})


def block(*lines):
    return Block(b"".join(line + b"\n" for line in lines), len(lines), ORIGIN)


def test_without_auto_event_type_everything_is_events():
    """The block passes as it came, under one tag."""
    given = block(ALARM, PLAIN)
    (out,) = transform(EventBridgeOptions(mapping={"aws.ec2": "metrics"}))(given)
    assert (out.tag, out.payload, out.count) == ("cloud.aws.cloudwatch.events", given.payload, 2)


def test_auto_event_type_divides_by_type():
    """Alarm state changes go to their own table, in their order, byte for byte."""
    given = block(PLAIN, ALARM, CONFIGURED, ALARM)
    out = {
        one.tag: (one.payload, one.count)
        for one in transform(EventBridgeOptions(auto_event_type=True))(given)
    }
    assert out == {
        "cloud.aws.cloudwatch.events": (PLAIN + b"\n" + CONFIGURED + b"\n", 2),
        "cloud.aws.cloudwatch.alarm": (ALARM + b"\n" + ALARM + b"\n", 2),
    }


@pytest.mark.parametrize(
    ("line", "mapping", "event_type"),
    [
        (PLAIN, {}, "events"),
        (ALARM, {}, "alarm"),
        (CONFIGURED, {}, "events"),
        (envelope("my.app", "CloudWatch Alarm State Change"), {}, "events"),
        (PLAIN, {"aws.ec2": "metrics"}, "metrics"),
        (PLAIN, {"EC2 Instance State-change Notification": "logs", "aws.ec2": "metrics"}, "logs"),
        (ALARM, {"aws.cloudwatch": "events"}, "events"),
        (b"[1]", {}, "events"),
        (b'{"source":3}', {}, "events"),
        (b"{}", {}, "events"),
    ],
    ids=[
        "event", "alarm", "alarm's configuration", "somebody else's alarm", "by source", "detail-type first",
        "mapping before the rule", "no object", "other type", "empty",
    ],
)  # fmt: skip
def test_event_type(line, mapping, event_type):
    """The mapping decides first, detail-type before source; then alarms; all else is an event."""
    assert event_type_of(line, mapping) == event_type


def test_stamp_and_place():
    """Environment and pull time lead the event; account and region of the envelope end the tag."""
    options = EventBridgeOptions(
        TagRule("cloud.aws.cloudwatch.{event_type}", "account_region"), stamp=Stamp("pro", lambda: 17)
    )
    (out,) = transform(options)(block(b'{"a":1}', b'{"a":2}'))
    assert out.tag == "cloud.aws.cloudwatch.events.111122223333.us-west-1"
    assert [json.loads(line) for line in out.payload.splitlines()] == [
        {"@devo_environment": "pro", "@devo_pulling_id": 17, "a": number} for number in (1, 2)
    ]
    assert out.count == 2


def test_unicode_line_separators_are_no_line_ends():
    """U+2028 and U+0085 stand within an event: only a newline ends one."""
    line = '{"source":"aws.ec2","detail-type":"x\u2028y\x85z\x0b"}'.encode()
    (out,) = transform(EventBridgeOptions(auto_event_type=True))(block(line, line))
    assert out.count == 2
