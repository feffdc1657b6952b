"""The dataflow's own steps: what stands between sources and sinks."""

import json
from threading import Event

import pytest
from msgspec.structs import replace

from flows.aws import flow
from flows.steps import apply
from sinks.frame import guard
from transforms.block import Block, Origin, Poison


def test_h21_a_too_large_event_keeps_its_own_origin():
    """Objects of one tag are joined, but never so that an event is cut out of another object's block."""
    small, large = (
        Block(event, 1, Origin("flowlogs", object=f"s3://b/{key}"), "t.x")
        for event, key in ((b"a\n", "small"), (b"c" * 30 + b"\n", "large"))
    )
    between = replace(small, tag="t.y")
    made = apply(lambda block: [block], largest=20)([small, between, small, large])
    (poison,) = [one for block in made for one in guard(block, 20) if isinstance(one, Poison)]
    assert (poison.origin, poison.body) == (large.origin, b"c" * 30)
    assert [block.payload for block in made if block.tag == "t.x"] == [b"a\na\n", large.payload]


@pytest.mark.parametrize(
    ("outputs", "seconds"),
    [
        ({"one": {"type": "console"}}, 40),
        ({"one": {"type": "syslog", "config": {"address": "a", "port": 1}}}, 60),
        ({"one": {"type": "syslog", "config": {"address": "a", "port": 1, "drain_grace_seconds": 90}}}, 130),
    ],
)
def test_a_drain_alone_is_not_cut_short_by_the_clusters_patience(tmp_path, monkeypatch, outputs, seconds):
    """In a cluster a process that drains ends hard after a while: never before its outputs' own grace."""
    config = {
        "outputs": outputs,
        "inputs": {"main": {"id": "1", "services": {"aws-guardduty": {"regions": ["eu-west-1"]}}}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    asked = []
    monkeypatch.setattr("flows.aws.drain_on_signals", lambda alone, _done: asked.append(alone) or Event())
    monkeypatch.setattr("sinks.devo.opener", lambda *_: None)
    flow(str(path))
    assert asked == [seconds]
