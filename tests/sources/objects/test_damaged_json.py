"""Damage in one record costs that record: it goes to quarantine with its bytes, and reading goes on."""

import io
import json
import tracemalloc
from contextlib import suppress

import pytest

from sources.errors import ObjectBroken
from sources.objects.decode import Layout, read, skip
from sources.objects.decoded_chunk import DecodeLimits
from sources.objects.json_text import resync, scanner
from tests.sources.objects.decoding import check, collect, damages, decoded, joined
from transforms import documents

VALUES = Layout(values=True)
RECORDS = Layout(records="Records")

DAMAGES = {
    "escape": b'{"p":"c:\\q"}',
    "words": b"some text, 42 [here]",
    "number first": b"42 errors found",
    "unfinished": b'{"a":1,"b":',
    "quote open": b'{"p":"c:\\"}',
    "no key": b"{1:2}",
    "quote": b'"abc',
    "closers": b"}}]",
    "value missing": b'{"a":}',
    "brace missing": b'{"a":{"b":1}',
    "too deep": b'{"a":' * 2000 + b"}" * 2000,
}


@pytest.mark.parametrize("bad", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_r3_a_damaged_line_costs_itself(bad, at):
    """Wherever it stands among JSON lines, the others are events and it is damage with its bytes."""
    lines = [b'{"n":%d}' % number for number in range(4)]
    pieces = decoded(b"\n".join([*lines[:at], bad, *lines[at:], b""]), VALUES)
    check(pieces)
    assert joined(pieces).split(b"\n")[:-1] == lines
    assert damages(pieces) == [bad]


def test_r3_the_issues_example():
    """The line between is quarantined with place and reason."""
    pieces = decoded(b'{"a":1}\n{"p":"c:\\q"}\n{"a":2}', VALUES)
    assert joined(pieces) == b'{"a":1}\n{"a":2}\n'
    (bad,) = [piece for piece in pieces if piece.reason]
    assert (bad.payload, bad.reason, bad.records) == (b'{"p":"c:\\q"}', "json_broken", 2)
    assert "at byte 8" in bad.detail


@pytest.mark.parametrize("between", [b"\n", b"", b",", b" "])
def test_r3_the_first_of_two(between):
    """The damaged one is the first, and one is left to go on with."""
    pieces = decoded(between.join([b'{"a":1,}', b'{"a":2}']), VALUES)
    assert (joined(pieces), damages(pieces)) == (b'{"a":2}\n', [b'{"a":1,}'])


def test_r3_marks_between_values_are_nothing():
    """Byte order marks of files that were joined are no damage."""
    pieces = decoded(b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{"a":2}\xef\xbb\xbf{"a":3}\n', VALUES)
    assert (joined(pieces), damages(pieces)) == (b'{"a":1}\n{"a":2}\n{"a":3}\n', [])


def test_r3_unseparated_values():
    """Without lines, reading goes on where a whole object stands."""
    pieces = decoded(b'{"a":1}{"p":"\\q"}{"a":2}words{"a":3}', VALUES)
    assert joined(pieces) == b'{"a":1}\n{"a":2}\n{"a":3}\n'
    assert damages(pieces) == [b'{"p":"\\q"}', b"words"]


_FULL = [json.dumps({"id": n, "at": {"k": [{"m": n}]}, "n": n / 8}).encode() for n in range(6)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one[:9] + b"\n" + one[9:],
        lambda one: one[:20] + b"\\\r\n" + one[20:],
        lambda one: one.replace(b'"at": ', b'"at": ]'),
        lambda one: one.replace(b'"at": ', b'"at": }'),
        lambda one: one + one[one.rindex(b"{", 0, one.index(b'"k"')) :],
        lambda one: one + b"]",
    ],
    ids=["newline", "escape and newline", "bracket", "brace", "end twice", "bracket behind"],
)
@pytest.mark.parametrize("form", ["lines", "unseparated", "pretty", "records"])
def test_r3_no_piece_of_a_damaged_value_is_an_event(damage, form):
    """Over lines, with brackets that do not pair, half of it twice: others come out, pieces of it do not."""
    values = [*_FULL[:2], damage(_FULL[2]), *_FULL[3:]]
    if form == "pretty":
        values = [json.dumps(json.loads(one), indent=1).encode() for one in _FULL]
        values[2] = damage(values[2])
    text = {"unseparated": b"".join, "records": lambda them: b'{"Records":[%b]}' % b",".join(them)}
    stored = text.get(form, b"\n".join)(values)
    lines = joined(decoded(stored, RECORDS if form == "records" else VALUES)).split(b"\n")[:-1]
    found = [json.loads(line) for line in lines]
    good = [json.loads(one) for one in _FULL]
    assert [one for one in found if one in good[:2] + good[3:]] == good[:2] + good[3:]
    assert all(one in good for one in found)


def test_r3_the_inside_of_a_value_is_no_event():
    """Of a pretty-printed value that is damaged, nothing within is taken for a value."""
    good = json.dumps({"a": [{"b": 1}, {"b": 2}]}, indent=1).encode()
    bad = good.replace(b": 1", b": x")
    pieces = decoded(b"\n".join([good, bad, good, b""]), VALUES)
    assert joined(pieces) == b'{"a":[{"b":1},{"b":2}]}\n' * 2
    assert damages(pieces) == [bad]


def test_r3_lines_within_a_cut_value_are_no_events():
    """A document whose elements stand on lines of their own, cut short, is damage as a whole."""
    found, error = collect(b'{"events":[\n{"a":1},\n{"a":2}\n', VALUES)
    assert (found, error.reason) == ([], "json_truncated")


def test_r3_a_document_that_lacks_its_records():
    """With documents, one that holds no records costs itself."""
    layout = Layout(values=True, unwrap=documents.under(("r",), {}, {}))
    pieces = decoded(b'{"r":[1,2]}\n{"x":0}\n{"r":[3]}\n', layout)
    assert (joined(pieces), damages(pieces)) == (b"1\n2\n3\n", [b'{"x":0}'])


RECORD = b'{"eventVersion":"1.0","eventName":"N%d","x":{"y":[{"eventVersion":"z"}]}}'


@pytest.mark.parametrize("bad", [one for name, one in DAMAGES.items() if name != "closers"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("between", [b",", b",\n  "])
def test_r3_a_damaged_record_costs_itself(bad, at, between):
    """In an array the next record is where it certainly begins."""
    good = [RECORD % number for number in range(5)]
    text = between.join([*good[:at], bad, *good[at:]])
    pieces = decoded(b'{"Records":[%b]}' % text, RECORDS)
    check(pieces)
    assert joined(pieces).split(b"\n")[:-1] == good
    assert len(damages(pieces)) == 1
    assert damages(pieces)[0] == bad


@pytest.mark.parametrize("layout", [VALUES, RECORDS])
def test_r3_resume_by_record_number(layout):
    """A damaged record counts as one: a resume behind any record gives the rest, neighbours not again."""
    lines = [RECORD % number for number in range(6)]
    lines[2] = b'{"p":"c:\\q"}'
    text = b"\n".join(lines) if layout is VALUES else b'{"Records":[%b]}' % b",".join(lines)
    whole = decoded(text, layout)
    told = [(line, piece.reason) for piece in whole for line in piece.payload.rstrip(b"\n").split(b"\n")]
    assert [line for line, _ in told] == lines
    for done in range(7):
        rest = list(skip(iter(decoded(text, layout)), done))
        found = [(line, piece.reason) for piece in rest for line in piece.payload.rstrip(b"\n").split(b"\n")]
        assert found == told[done:]


def test_r3_much_damage_is_another_object():
    """A thousand damaged lines end the object, as does one without anything good."""
    found, error = collect(b'{"a":1}\n' + b"text\n" * 1500, VALUES)
    assert (len(found), error.reason, error.record) == (1, "json_broken", 1001)
    found, error = collect(b"text\n" * 30, VALUES)
    assert (found, error.reason, error.record) == ([], "json_broken", 0)
    found, error = collect(b'{"p":"c:\\q"}', VALUES)
    assert (found, error.reason) == ([], "json_broken")


def test_r3_damage_in_a_large_object():
    """Beyond the first windows, damage costs as little."""
    line = b'{"n":%d,"pad":"' + b"x" * 900 + b'"}'
    lines = [line % number for number in range(8000)]
    lines[3000], lines[5000], lines[7999] = b'{"p":"c:\\"}', b"words", b'{"p":"\\q"}'
    pieces = decoded(b"\n".join(lines), VALUES)
    assert damages(pieces) == [lines[3000], lines[5000], lines[7999]]
    assert joined(pieces).count(b"\n") == 7997
    records = [b'{"eventVersion":"1","n":%d,"pad":"' % number + b"x" * 900 + b'"}' for number in range(8000)]
    records[3000], records[5000] = b'{"eventVersion":"1","p":"c:\\"}', b'{"p":"\\q"}'
    pieces = decoded(b'{"Records":[%b]}' % b",".join(records), RECORDS)
    assert damages(pieces) == [records[3000], records[5000]]
    assert joined(pieces).count(b"\n") == 7998


@pytest.mark.parametrize("garbage", [b'{"a":', b'{"a":\n', b'{"a":[{"a":', b'{"a":1 {"a":2,"b" '])
@pytest.mark.parametrize("between", [b"\n", b"", b" "])
def test_a14_nested_garbage_is_looked_through_in_bounds(monkeypatch, garbage, between):
    """However many places look like the next value, what is looked through for one damage is bounded."""
    looked, valid = [], scanner.valid
    monkeypatch.setattr(scanner, "valid", lambda data, at: looked.append(len(data) - at) or valid(data, at))
    monkeypatch.setattr(resync, "_LOOKED_AT", 1 << 20)
    text = (b'{"a":1,"b":2}' + between) * 3 + garbage * (200_000 // len(garbage))
    with suppress(ObjectBroken):
        list(read(io.BytesIO(text), VALUES, DecodeLimits()))
    assert sum(looked) < 40 << 20


_LIST = [{"arn": "a", "x": 1}, {"arn": "b", "x": 2}]
_ROW = [{"version": "1.0", "id": n, "list": _LIST, "text": "q", "pad": "x" * 999} for n in range(5)]
_FIRST = {
    "escape": lambda one: one.replace(b'"q"', b'"c:\\q"'),
    "first key open": lambda one: one.replace(b'"version"', b'"version', 1),
    "value open": lambda one: one.replace(b'"1.0"', b'"1.0', 1),
    "last value open": lambda one: one.replace(b'"q"', b'"q', 1),
    "brace missing": lambda one: one[1:],
    "key without quotes": lambda one: one.replace(b'"version"', b"version", 1),
    "brace too many": lambda one: one.replace(b'"list"', b'"list":{"a', 1),
    "bracket too many": lambda one: one.replace(b"[", b"[[", 1),
    "half": lambda one: one[: len(one) // 4],
    "words": lambda _one: b"some words 42",
    "a quote": lambda _one: b'"',
    "a brace": lambda _one: b"{",
}


@pytest.mark.parametrize("damage", _FIRST.values(), ids=_FIRST)
@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("form", ["records", "array", "lines", "unseparated", "pretty", "pretty records"])
@pytest.mark.parametrize("pad", [1, 60_000])
def test_r3_damage_at_the_beginning(form, at, damage, pad):
    """Also the first record costs itself: what it is like, the others tell. No piece of it is an event."""
    rows = [{**one, "pad": "x" * pad} for one in _ROW * (1 if pad == 1 else 10)]
    texts = [json.dumps(one, indent=1 if "pretty" in form else None).encode() for one in rows]
    good = [json.dumps(one, separators=(",", ":")).encode() for one in rows]
    del good[at]
    texts[at] = damage(texts[at])
    around = {"records": b'{"Records":[%b]}', "pretty records": b'{"Records": [\n%b]\n}\n', "array": b"[%b]"}
    between = {"lines": b"\n", "pretty": b"\n", "unseparated": b""}
    text = around.get(form, b"%b") % between.get(form, b",\n").join(texts)
    pieces, error = collect_pieces(text, RECORDS if form in around else VALUES)
    found = [compacted(one) for one in joined(pieces).split(b"\n")[:-1]]
    assert [one for one in found if one in good] == good
    assert error is None or at == len(rows) - 1
    assert len(found) <= len(good) + 1
    assert not [one for one in found if b'"arn"' in one and b'"version"' not in one]


def compacted(line):
    return json.dumps(json.loads(line), separators=(",", ":")).encode()


def collect_pieces(text, layout, limits=None):
    pieces = []
    try:
        for piece in read(io.BytesIO(text), layout, limits or DecodeLimits()):
            pieces.append(piece)  # noqa: PERF402 - what came before the error counts
    except ObjectBroken as error:
        return pieces, error
    return pieces, None


def test_r3_what_is_within_the_first_value_is_no_record():
    """Where nothing goes on to the end of the array, nothing of its only record is an event."""
    for text in (
        b'{"Records":[{"a":"open,"list":[{"b":1},{"b":2},{"b":3}]}]}',
        b'[{"a":"open,"l":[{"b":1},{"b":2}]}]',
    ):
        found, error = collect(text, RECORDS)
        assert (found, error is None) == ([], False)
    found, error = collect(b'{"a":"open,"list":[{"b":1}\n,{"b":2}\n]}', VALUES)
    assert (found, error is None) == ([], False)


def test_r3_a_json_line_over_the_limit_costs_itself():
    """Its beginning and its place are kept, and what stands behind it is read, in bounded memory."""
    long = b'{"a":"' + b"x" * (70 << 20) + b'"}'
    tracemalloc.start()
    pieces, error = collect_pieces(b'{"a":1}\n%b\n{"a":2}\n{"a":3}\n' % long, VALUES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (joined(pieces), error) == (b'{"a":1}\n{"a":2}\n{"a":3}\n', None)
    (bad,) = [piece for piece in pieces if piece.reason]
    assert (bad.reason, bad.payload, bad.records) == ("record_too_large", long[:1024], 2)
    assert bad.detail == f"a value of {len(long)} bytes, at byte 8 of the text"
    assert peak < len(long) + (160 << 20)


_MIB = 1 << 20
_FEW_MIB = DecodeLimits(max_record_bytes=_MIB)
_NEIGHBOUR = b'{"id": 9,"text": "a neighbour\'s","pad": 0}'
_LARGE = {
    "text": b'{"id":7,"text":"%b","pad":0}' % (b"x" * (3 * _MIB)),
    "escapes": b'{"id":7,"text":"%b","pad":0}' % (b'\\"}{\\\\' * (_MIB // 2)),
    "keys": b'{"id":7,%b"pad":0}' % b"".join(b'"key%d":{"a":[%d,"]"]},' % (n, n) for n in range(110_000)),
    "neighbours within": b'{"id":7,"list":[%b],"pad":0}' % b",".join([_NEIGHBOUR] * 75_000),
    "brackets": b'{"id":7,"list":[%b],"pad":0}' % b",".join([b"[" * 900 + b"]" * 900] * 1800),
    "lines": b'{"id":7,"list":[%b],"pad":0}' % b",\n".join([_NEIGHBOUR] * 75_000),
}
_LARGE_DAMAGED = {
    "open": b'{"id":7,"text":"%b,"pad":0}' % (b"x" * (3 * _MIB)),
    "bracket": b'{"id":7,"text":"%b","list":[1},"pad":0}' % (b"x" * (3 * _MIB)),
    "cut in a string": b'{"id":7,"text":"%b' % (b"x" * (3 * _MIB)),
    "cut in an object": b'{"id":7,"a":{"text":"%b"' % (b"x" * (3 * _MIB)),
    "words": b"words " * _MIB,
}
_FORMS = {
    "records": (b'{"Records":[%b]}', b","),
    "spaced records": (b'{ "x": 1, "Records": [\n%b\n] , "after": {}}\n', b" ,\n "),
    "lines": (b"%b\n", b"\n"),
    "unseparated": (b"%b", b""),
}


@pytest.mark.parametrize("kind", [*_LARGE, *_LARGE_DAMAGED])
@pytest.mark.parametrize("form", _FORMS)
def test_r3_a_record_over_the_limit_costs_itself(form, kind):
    """Wherever it stands in whatever form, what is behind it comes out, and nothing of its inside does."""
    around, between = _FORMS[form]
    large = {**_LARGE, **_LARGE_DAMAGED}[kind]
    rows = [b'{"id":%d,"text":"%b","pad":null}' % (n, b"y" * (n % 90)) for n in range(6000)]
    for at in (3000,) if kind in {"keys", "brackets"} else (0, 3000, 6000):
        text = around % between.join([*rows[:at], large, *rows[at:]])
        pieces, error = collect_pieces(text, RECORDS if b"[" in around else VALUES, _FEW_MIB)
        bad = [(piece.reason, piece.payload) for piece in pieces if piece.reason]
        if (kind == "words" and at == 0) or (kind in _LARGE_DAMAGED and at == 6000 and form != "lines"):
            assert error  # what is behind it, if anything, is not certain
            assert f"at byte {text.index(large)}" in error.what
            continue
        assert error is None
        assert joined(pieces).split(b"\n")[:-1] == rows
        assert bad == [("record_too_large", large[:1024])]
        assert f"at byte {text.index(large)} of the text" in next(one.detail for one in pieces if one.reason)
