"""Blocks are joined without changing what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from transforms import cloudfront, umbrella, vpcflow
from transforms.block import Block, Origin, Poison, coalesce, of_origin
from transforms.line_logs import LineLogOptions
from transforms.tags import TagRule

ORIGIN = Origin("flowlogs")


def block(tag: str, lines: list[bytes]) -> Block:
    return Block(b"".join(line + b"\n" for line in lines), len(lines), ORIGIN, tag)


items = st.lists(
    st.one_of(
        st.builds(
            block, st.sampled_from("ab"), st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=3)
        ),
        st.builds(Poison, st.just("broken"), st.text(max_size=3), st.just(ORIGIN)),
    )
)


def told(stream) -> tuple[list, dict]:
    """Return poisons, and each tag's events."""
    items = list(stream)
    blocks = [item for item in items if isinstance(item, Block)]
    of_tags = {one.tag: [b"", 0] for one in blocks}
    for one in blocks:
        of_tags[one.tag][0] += one.payload
        of_tags[one.tag][1] += one.count
    return [item for item in items if isinstance(item, Poison)], of_tags


@given(items, st.integers(1, 40))
def test_coalescing_changes_sizes_only(stream, limit):
    """The events, their order within a tag and the poisons stay as they were."""
    assert told(coalesce(stream, limit=limit)) == told(stream)


@given(items, st.integers(1, 40))
def test_coalescing_respects_its_limit(stream, limit):
    """A joined block is never larger than the limit; a single larger one passes."""
    largest = max((len(i.payload) for i in stream if isinstance(i, Block)), default=0)
    assert all(
        len(i.payload) <= max(limit, largest) for i in coalesce(stream, limit=limit) if isinstance(i, Block)
    )


def test_blocks_of_one_tag_become_one():
    """Hundreds of small objects cost one send for each tag."""
    assert [one.tag for one in coalesce([block("a", [b"x"]), block("b", [b"y"])] * 200)] == ["a", "b"]


def test_before_a_transform_blocks_of_one_origin_become_one():
    """A transform may look at all of an origin, and at the columns: what differs there stays apart."""
    one, other = block("", [b"x"]), replace(block("", [b"y"]), origin=Origin("s", region="r"))
    stream = [one, one, other, replace(other, header=b"h"), one]
    joined = list(coalesce(stream, of_origin))
    assert [each.count for each in joined] == [3, 1, 1]
    assert [(each.origin, each.header) for each in joined] == [(e.origin, e.header) for e in stream[1:4]]


@pytest.mark.parametrize(
    ("of", "key"),
    [
        ("s3://bucket/a/b.gz", "a/b.gz"),
        ("s3://bucket/a://b", "a://b"),
        ("s3://bucket/", ""),
        ("captures/a/b.gz", "captures/a/b.gz"),
        ("", ""),
    ],
)
def test_an_origins_key_is_within_its_bucket(of, key):
    """What patterns of a configuration search is the key, as S3 knows it."""
    assert Origin("s", object=of).key == key


@pytest.mark.parametrize("kind", [vpcflow, cloudfront, umbrella], ids=["vpcflow", "cloudfront", "umbrella"])
def test_patterns_see_the_key_alone(kind):
    """The bucket's name is no part of what event types are told by."""
    asked = []
    options = LineLogOptions(TagRule(kind.TEMPLATE), event_type=lambda key: asked.append(key) or "x")
    one = Block(b"a\n", 1, Origin("s", object="s3://dnslogs/folder/a.gz"))
    assert next(iter(kind.transform(options)(one))).tag.endswith(".x")
    assert asked == ["folder/a.gz"]
