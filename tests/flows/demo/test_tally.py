"""Arrivals are compared with what was put in, event by event."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.demo.receiver import parse
from flows.demo.tally import DemoProgress, Expected, Found, Tally

ONE = Expected("audits_s3", "cloud.aws.cloudtrail.ec2", b'{"eventID":"1"}')
OTHER = Expected("audits_api", "cloud.aws.cloudtrail.ec2", b'{"eventID":"2"}')
LINE = Expected("flowlogs", "cloud.aws.vpc.flow", b"2 123456789012 eni-1")


def arrive(tally, *events):
    for event in events:
        tally.arrive(event.tag, event.message)


def test_all_that_was_put_in():
    """Nothing is complete before the last event is there; then each tag tells who collected how many."""
    tally = Tally([ONE, OTHER, LINE, LINE])
    arrive(tally, LINE, ONE, OTHER)
    assert not tally.complete
    assert tally.progress() == [
        DemoProgress("audits_s3", 1, 1),
        DemoProgress("audits_api", 1, 1),
        DemoProgress("flowlogs", 2, 1),
    ]
    arrive(tally, LINE)
    assert tally.complete
    assert tally.pure
    assert tally.found() == [
        Found(ONE.tag, 2, 0, 0, 0, {"audits_s3": 1, "audits_api": 1}),
        Found(LINE.tag, 2, 0, 0, 0, {"flowlogs": 2}),
    ]


def test_a_repeat_is_told_and_no_failure():
    """Delivery is at least once: an event that comes again counts as repeated, not as another."""
    tally = Tally([ONE, OTHER])
    arrive(tally, ONE, ONE)
    assert not tally.complete
    assert tally.pure
    assert tally.found() == [Found(ONE.tag, 2, 1, 1, 0, {"audits_s3": 1})]


@pytest.mark.parametrize(
    "strange",
    [
        ONE._replace(message=ONE.message + b" "),
        ONE._replace(message=b""),
        ONE._replace(tag="cloud.aws.cloudtrail.s3"),
    ],
    ids=["a byte more", "empty", "under another tag"],
)
def test_other_bytes_and_other_tags_are_unknown(strange):
    """An event counts only with exactly its bytes, under exactly its tag."""
    tally = Tally([ONE])
    arrive(tally, strange)
    assert not tally.complete
    assert not tally.pure
    found = {one.tag: one for one in tally.found()}
    assert found[ONE.tag].missing == 1
    assert found[strange.tag].unknown == 1


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abcd")))
def test_any_mixture_is_accounted_for(put_in, came):
    """Every line is an arrival, a repeat or unknown, and every event put in arrived or is missing."""
    tally = Tally(Expected("s", "a.b", name.encode()) for name in put_in)
    for name in came:
        tally.arrive("a.b", name.encode())
    expected, arrived = Counter(put_in), Counter(came)
    unknown = sum(count for name, count in arrived.items() if name not in expected)
    for found in tally.found():
        assert found.arrived == len(came)
        assert found.missing == (expected - arrived).total()
        assert found.unknown == unknown
        assert found.repeated == (arrived - expected).total() - unknown
    assert tally.complete == (not expected - arrived)
    assert tally.pure == (not unknown)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"<14>Jan  1 00:00:00 host cloud.aws.vpc.flow: 2 1 eni-1", ("cloud.aws.vpc.flow", b"2 1 eni-1")),
        (b'<14>Jan  1 00:00:00 host a.b: {"x": "y: z"}', ("a.b", b'{"x": "y: z"}')),
        (b"<14>Jan  1 00:00:00 host a.b: ", ("a.b", b"")),
        (b"no header", ("header", b"")),
    ],
)
def test_a_line_is_tag_and_message(line, event):
    """The message begins after the first colon and space, whatever it holds."""
    assert parse(line) == event
