"""The wire form of events."""

import re

import pytest
from devo.sender import Sender
from devo.sender.transformsyslog import COMPOSE_BYTES
from hypothesis import given
from hypothesis import strategies as st

from sinks.frame import clean_host, clean_tag, guard, header, pieces, priority
from tests.fakes.framed import framed
from transforms.block import Block, Origin, Poison

HEAD = b"<14>Jan  1 00:00:00 host-1 my.app.test: "
messages = st.binary(min_size=1, max_size=60).map(lambda raw: raw.replace(b"\n", b"|"))
events = st.lists(messages, min_size=1, max_size=40)
ORIGIN = Origin("flowlogs", object="s3://bucket/key", record=100)


def payload_of(lines):
    return b"".join(line + b"\n" for line in lines)


def block_of(lines):
    return Block(payload_of(lines), len(lines), ORIGIN, "my.app.test")


def test_header_is_the_contracts():
    """PRI user.info, the constant date, host and tag, a colon and a space."""
    assert header("my.app.test", "host-1", priority("user", "info")) == HEAD


@pytest.mark.parametrize(
    ("facility", "severity", "number"),
    [("user", "info", 14), ("kern", "emerg", 0), ("local0", "notice", 133), ("local7", "debug", 191)],
)
def test_priority_is_eight_facilities_plus_severity(facility, severity, number):
    """PRI = facility * 8 + severity, as RFC 3164 numbers them."""
    assert priority(facility, severity) == number


@given(events)
def test_frame_is_a_header_before_each_line(lines):
    """Framing the whole buffer at once gives what framing line by line would give."""
    assert framed(payload_of(lines), HEAD) == b"".join(HEAD + line + b"\n" for line in lines)


@given(events)
def test_pieces_joined_are_the_frame(lines):
    """The two buffers that are sent without copying are the frame."""
    assert b"".join(pieces(payload_of(lines), HEAD)) == framed(payload_of(lines), HEAD)


@given(
    events,
    st.from_regex(r"[a-z0-9_]{1,12}(\.[a-z0-9_]{1,12}){1,5}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,20}[A-Za-z0-9]", fullmatch=True),
)
def test_bytes_are_those_of_devos_own_sender(lines, tag, host):
    """Every line is byte for byte what devo-sdk's `send` writes for it."""
    theirs = b"".join(
        COMPOSE_BYTES
        % (Sender.compose_mem(tag.encode(), bytes=True, hostname=host.encode()), message + b"\n")
        for message in lines
    )
    assert framed(payload_of(lines), header(tag, host, 14)) == theirs


def test_empty_payload_frames_to_nothing():
    """No event, no line."""
    assert framed(b"", HEAD) == b""


@given(st.text(max_size=30))
def test_h21_no_host_or_tag_breaks_the_line(text):
    """Spaces, colons, newlines and control characters in host or tag never reach the wire."""
    head = header(text, text, 14).decode()
    assert re.fullmatch(r"<14>Jan  1 00:00:00 [A-Za-z0-9._-]+ [^\x00-\x20\x7f:]+: ", head)


def test_h21_ten_thousand_tags():
    """Ten thousand tags at once each get their own header."""
    assert len({header(f"my.app.t{n}", "host", 14) for n in range(10_000)}) == 10_000


def test_nothing_left_becomes_unknown():
    """A tag or host of nothing but separators still gives a whole header."""
    assert (clean_tag(" :\n"), clean_host("::"), clean_host("")) == ("unknown.unknown", "-", "-")


def test_guard_passes_the_same_block():
    """A block within the limit comes back itself: the usual case costs no copy."""
    block = block_of([b"a", b"bb"])
    assert guard(block, 100)[0] is block


def test_guard_passes_a_large_block_of_small_events():
    """The limit is one of events, not of blocks."""
    block = block_of([b"x" * 30] * 100)
    assert guard(block, 30) == [block]


def test_h21_an_empty_block_vanishes():
    """A transform may leave nothing of a block; nothing is sent then."""
    assert guard(Block(b"", 0, ORIGIN, "t.t"), 100) == []


def test_h21_large_event_becomes_poison():
    """An event above the limit is kept whole as poison, in its place, and its neighbours go on."""
    first, poison, last = guard(block_of([b"a", b"x" * 11, b"b", b"c"]), 10)
    assert (first.payload, first.count) == (b"a\n", 1)
    assert isinstance(poison, Poison)
    assert (poison.reason, poison.body, poison.origin) == ("event_too_large", b"x" * 11, ORIGIN)
    assert (last.payload, last.count) == (b"b\nc\n", 2)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(1, 20))
def test_h21_guard_loses_nothing(sizes, limit):
    """Whatever the sizes: every event is in a block when it fits, else in a poison, in order."""
    lines = [bytes([97 + n % 26]) * size for n, size in enumerate(sizes)]
    seen = []
    for item in guard(block_of(lines), limit):
        if isinstance(item, Poison):
            assert len(item.body) > limit
            seen.append(item.body)
            continue
        assert item.count == item.payload.count(b"\n") > 0
        assert all(len(line) <= limit for line in item.payload.splitlines())
        seen += item.payload.splitlines()
    assert seen == lines


def test_a10_very_many_short_lines_are_framed_in_slices():
    """A block of half a million lines is divided before a header is put to each; nothing is lost."""
    block = Block(b"x\n" * 500_000, 500_000, Origin("s"), tag="a.b")
    parts = guard(block, 1 << 20)
    assert len(parts) > 10
    assert all(part.count == part.payload.count(b"\n") <= 32_768 for part in parts)
    assert b"".join(part.payload for part in parts) == block.payload
