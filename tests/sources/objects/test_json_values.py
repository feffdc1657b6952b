"""JSON values in a row: whatever stands between them, however the object is cut, the same events come out."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.objects.decode import DecodeLimits, Layout, skip
from sources.objects.decoded_chunk import CHUNK_BYTES
from sources.objects.json_text import scanner as json_scanner
from sources.objects.json_text import values as module
from tests.sources.objects.decoding import collect, decoded, events, joined
from transforms import documents

VALUES = Layout(values=True)
SMALL = DecodeLimits(max_event_bytes=1 << 20)


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


TRICKY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a}{"\\\n,[]| é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["a", "b}{"]), TRICKY, max_size=2), max_size=8)


@given(OBJECTS, st.sampled_from(["", "\n", " ", "\r\n", "\n\n", ",\n", ","]), st.booleans())
@settings(max_examples=200)
def test_what_stands_between_does_not_matter(objects, between, pretty):
    """Lines, unseparated, comma-separated and pretty-printed objects are the same events."""
    texts = [
        json.dumps(one, indent=1, ensure_ascii=False).encode() if pretty else compact(one) for one in objects
    ]
    found = events(between.encode().join(texts), VALUES)
    assert [json.loads(line) for line in found] == objects


@given(OBJECTS.filter(bool), st.sampled_from(["||", "|", "a}{"]))
def test_a_separator_of_its_own_is_taken_at_borders_only(objects, separator):
    """What stands between two objects is no event, and the same text within one stays."""
    body = separator.encode().join(map(compact, objects))
    assert events(body, Layout(values=True, between=separator.encode())) == list(map(compact, objects))


def large(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [
        compact({"n": n, "t": "}{" * rng.randint(0, 90), "x": "é" * rng.randint(0, 200)})
        for n in range(count)
    ]


@pytest.mark.parametrize("between", [b"\n", b"", b"\r\n", b",", b" \n \n"])
def test_large_objects_come_in_pieces_of_bounded_size(between):
    """An object of many windows loses and repeats nothing at their borders."""
    lines = large(20_000)
    pieces = decoded(between.join(lines), VALUES)
    assert joined(pieces).split(b"\n")[:-1] == lines
    assert len(pieces) > 3
    assert max(len(piece.payload) for piece in pieces) <= 2 * CHUNK_BYTES


def test_a_read_can_go_on_anywhere():
    """Behind any number of events that were done, the rest is the same."""
    lines = large(6_000)
    body = gzip.compress(b"".join(lines))
    for done in (0, 1, 2_999, 5_999, 6_000):
        rest = b"".join(piece.payload for piece in skip(iter(decoded(body, VALUES)), done))
        assert rest.split(b"\n")[:-1] == lines[done:]


def test_lines_are_not_scanned(monkeypatch):
    """Objects of one line each never need the exact scanner."""

    def scanned(*_args):
        raise AssertionError("the scanner was called")

    monkeypatch.setattr(json_scanner, "elements", scanned)
    lines = [compact({"n": n, "t": "x" * 100}) for n in range(30_000)]
    assert events(b"\n".join(lines), VALUES) == lines
    assert events(b"".join(lines), VALUES) == lines


def test_an_array_holds_its_elements():
    """An object that is one JSON array is its elements, several arrays are all of theirs."""
    assert events(b'[{"a":1},\n {"a":2}]', VALUES) == [b'{"a":1}', b'{"a":2}']
    assert events(b'[{"a":1}]\n[{"a":2}]', VALUES) == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    ("body", "expected", "reason"),
    [
        (b'{"a":1}\n{"a":', [b'{"a":1}'], "json_truncated"),
        (gzip.compress(b'{"a":1}\n' * 9, mtime=0)[:-9], None, None),
    ],
)
def test_damage_ends_an_object_behind_what_is_whole(body, expected, reason):
    """What stands before the damage comes out, and the error tells how many events that were."""
    found, error = collect(body, VALUES)
    assert error is not None
    assert error.record == len(found)
    if expected is not None:
        assert (found, error.reason) == (expected, reason)


def test_a_value_can_be_too_large():
    """Of a value over the limit the beginning is kept; one that has no end ends the object."""
    body = b'{"a":1}{"a":"' + b"x" * (36 << 20) + b'"}'
    assert collect(body, VALUES, SMALL) == ([b'{"a":1}'], None)
    limits = DecodeLimits(max_record_bytes=1 << 20)
    found, error = collect(body[:7] + b'{"a":"' + b"x" * (18 << 20) + b'"}', VALUES, limits)
    assert (found, error.reason) == ([b'{"a":1}'], "record_too_large")


@pytest.mark.parametrize("body", [b"", b"\n\n", b" ", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_nothing_is_no_event(body):
    """Objects of nothing but space hold no event and are whole."""
    assert collect(body, VALUES) == ([], None)


def test_text_can_be_allowed():
    """With or_lines, an object that does not begin as JSON is cut into lines."""
    layout = Layout(values=True, or_lines=True)
    assert events(b"one\n{two}\n", layout) == [b"one", b"{two}"]
    assert events(b'{"a":1}{"a":2}', layout) == [b'{"a":1}', b'{"a":2}']


def test_an_array_under_a_key_is_streamed(monkeypatch):
    """With the array's key told, a document larger than any value may be is no problem."""
    monkeypatch.setattr(module, "_window", lambda _tape: [])
    rows = [compact({"n": n, "t": "x" * 90}) for n in range(200_000)]
    body = b'{"owner":"o","logs":[' + b",".join(rows) + b"]}"
    layout = Layout(values=True, records="logs", unwrap=documents.under(("logs",), {}, {}))
    assert len(body) > SMALL.record_bytes
    assert events(body, layout) == rows


def test_events_beside_a_document_without_any_come_out():
    """A document that lacks what it should hold costs itself."""
    layout = Layout(values=True, unwrap=documents.under(("logs",), {}, {}))
    pieces = decoded(b'{"logs":[1,2]}{"logs":{"a":\n3}}{"other":1}{"logs":4}', layout)
    assert joined(pieces).split(b"\n")[:-1] == [b"1", b"2", b'{"a":3}', b"4"]
    (bad,) = [piece for piece in pieces if piece.reason]
    assert (bad.payload, bad.reason) == (b'{"other":1}', "records_missing")
    assert "no logs, but other" in bad.detail


def test_a_key_without_a_type_is_refused():
    """A layout that takes no object says why, before anything is read."""
    found, error = collect(b"text\n", Layout(refused="no type is known for this key"))
    assert (found, error.reason) == ([], "object_unknown")
