"""The dataflow's own steps: what stands between sources and sinks."""

from msgspec.structs import replace

from flows.aws import apply
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
