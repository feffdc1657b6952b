"""Findings: one tag, the event's own bytes, and the fields that the settings add."""

import json

import pytest

from transforms.block import Block, Origin
from transforms.tagged import Stamp, transform
from transforms.tags import TagRule

PAYLOAD = b'{"Id":"a","Title":"na\xc3\xafve"}\n{"Id":"b"}\n'
BLOCK = Block(PAYLOAD, 2, Origin("x", "111122223333", "eu-west-1"))


def test_events_keep_their_bytes():
    """An event is sent as it is, under the one tag of its table."""
    (out,) = transform(TagRule("a.b"))(BLOCK)
    assert (out.tag, out.payload, out.count, out.origin) == ("a.b", PAYLOAD, 2, BLOCK.origin)


@pytest.mark.parametrize(
    ("stamp", "fields"),
    [
        (Stamp("dev"), {"@devo_environment": "dev"}),
        (Stamp("", lambda: 5), {"@devo_pulling_id": 5}),
        (Stamp(named=lambda account: f"name of {account}"), {"@devo_account_name": "name of 111122223333"}),
        (Stamp(named=lambda _account: ""), {}),
        (Stamp("dev", lambda: 5), {"@devo_environment": "dev", "@devo_pulling_id": 5}),
    ],
)
def test_stamp_adds_to_every_line(stamp, fields):
    """Environment and pull time are put into each event, only when asked for."""
    (out,) = transform(TagRule("a.b"), stamp)(BLOCK)
    lines = [json.loads(line) for line in out.payload.splitlines()]
    assert lines == [{**fields, **json.loads(line)} for line in PAYLOAD.splitlines()]


def test_tag_suffix_tells_the_place():
    """Account and region of the block end the tag when asked for."""
    (out,) = transform(TagRule("a.b", "region_account"))(BLOCK)
    assert out.tag == "a.b.eu-west-1.111122223333"
