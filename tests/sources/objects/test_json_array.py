"""The elements of a JSON array become events, whatever stands around it and wherever it breaks."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.errors import ObjectBroken
from sources.objects.decode import DecodeLimits, Layout, read
from sources.objects.json_text import array as module
from sources.objects.json_text import scanner as json_scanner
from sources.objects.json_text.array import records
from tests.sources.objects.decoding import RECORDS, Body, check, collect, decoded, events, joined, noise


def record(number: int, **more) -> dict:
    return {
        "eventVersion": "1.10",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::000123456789:user/zoë"},
        "eventName": f"Call{number}",
        "requestParameters": {"items": [{"eventVersion": "x"}, {"text": '},{"eventVersion":"1"}]} \\" \\'}]},
        "other": {"Records": [{"Records": []}]},
        **more,
    }


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def document(values, **around) -> bytes:
    return compact({"Records": list(values), **around})


FEW = [record(number) for number in range(5)]
MANY = [record(number, noise=line.decode()) for number, line in enumerate(noise(12_000))]
LINES_OF_FEW = [compact(value) for value in FEW]


@pytest.fixture(scope="module")
def large() -> bytes:
    """Return a document of 5 MB, which is read window by window."""
    return document(MANY)


@pytest.mark.parametrize(
    "text",
    [
        document(FEW),
        document(FEW) + b"\n",
        b"\xef\xbb\xbf" + document(FEW),
        b" \r\n" + document(FEW) + b"\0\0",
        json.dumps({"Records": FEW}, indent=2, ensure_ascii=False).encode(),
        json.dumps({"Records": FEW}, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode(),
        compact({"a": {"Records": [{"no": 1}], "x": '"Records":[{'}, "Records": FEW, "z": [1]}),
        compact(FEW),
        b'{"Records" : [ ' + b" , ".join(LINES_OF_FEW) + b" ] }",
        document(FEW[:2]) + document(FEW[2:]),
        document(FEW[:2]) + b"\n" + document([]) + b"\n" + document(FEW[2:]) + b"\n",
        b"\n".join(LINES_OF_FEW),
    ],
    ids=[
        "compact", "newline at the end", "bom", "white space and padding", "pretty", "pretty crlf",
        "key not first", "bare array", "spaced", "two documents", "three documents", "one document a line",
    ],
)  # fmt: skip
def test_h10_records_in_any_form(text):
    """Each record is one event, byte for byte as it was, white space between lines apart."""
    assert events(text, RECORDS) == LINES_OF_FEW
    assert events(gzip.compress(text), RECORDS) == LINES_OF_FEW


def test_h08_no_newline_at_the_end_is_no_reason_to_lose_all():
    """A CloudTrail object ends in `}` without a newline, and still has its events."""
    assert not document(FEW).endswith(b"\n")
    assert len(events(document(FEW), RECORDS)) == 5


def test_h10_one_record_as_the_document():
    """A single record without an array, pretty-printed as consoles show it, is one event."""
    assert events(json.dumps(FEW[0], indent=4, ensure_ascii=False).encode(), RECORDS) == LINES_OF_FEW[:1]


@pytest.mark.parametrize(
    "text",
    [
        b'{"Records":[]}',
        b'{"Records":null}',
        b'{ "Records" : [ ] }',
        b"{}",
        b"",
        b"[]",
        compact(
            {
                "digestStartTime": "2026-01-01T00:00:00Z",
                "digestS3Bucket": "b",
                "logFiles": [{"s3Object": "x"}],
            }
        ),
    ],
    ids=["no records", "null", "spaced", "empty document", "empty object", "empty array", "digest"],
)
def test_h10_objects_without_events(text):
    """Empty arrays, the writability check and digests are no error and no event."""
    assert decoded(text, RECORDS) == []


def test_h10_a_digest_is_an_event_when_asked_for():
    """With `digests`, a digest document comes out whole, on one line."""
    digest = {"digestStartTime": "2026-01-01T00:00:00Z", "logFiles": [{"s3Object": "x"}]}
    asked = Layout(records="Records", digests=True)
    assert events(json.dumps(digest, indent=1).encode(), asked) == [compact(digest)]


def test_h10_one_record_of_300_kb():
    """A large record is an event like the others."""
    values = [FEW[0], record(1, policy="p" * 300_000), FEW[2]]
    assert events(document(values), RECORDS) == [compact(value) for value in values]


def test_h10_a_record_larger_than_the_window(large):
    """A record of some megabytes, in the midst of others, passes: it is for outputs to refuse it."""
    values = [*MANY[:3000], record(1, policy="p" * (3 << 20)), *MANY[3000:6000]]
    assert events(document(values), RECORDS) == [compact(value) for value in values]


def test_a_record_beyond_all_limits_costs_itself():
    """Of a record of more than 16 MiB the beginning is kept, and what is behind it comes out."""
    large = record(1, policy="p" * (40 << 20))
    assert collect(document([*FEW, large, *FEW]), RECORDS) == (LINES_OF_FEW * 2, None)
    limits = DecodeLimits(max_record_bytes=1 << 20)
    found, error = collect(document([*FEW, record(1, policy="p" * (18 << 20)), *FEW]), RECORDS, limits)
    assert (found, error.reason) == (LINES_OF_FEW, "record_too_large")


@pytest.mark.parametrize("indent", [None, 1], ids=["compact", "pretty"])
def test_h10_large_documents_are_read_in_windows(large, indent):
    """A document of many megabytes comes out in pieces of about one, complete and in order."""
    text = (
        large if indent is None else json.dumps({"Records": MANY}, indent=indent, ensure_ascii=False).encode()
    )
    pieces = decoded(text, RECORDS)
    assert len(pieces) > 2
    assert max(len(piece.payload) for piece in pieces) < 2 << 20
    assert joined(pieces).split(b"\n")[:-1] == [compact(value) for value in MANY]


def test_h10_a_large_document_whose_key_is_not_first():
    """Megabytes may stand before and after the array."""
    ahead = {"before": [{"Records": [{"eventVersion": "no"}]}] * 90_000}
    text = compact({**ahead, "Records": FEW, "after": "x" * (3 << 20)})
    assert events(text, RECORDS) == LINES_OF_FEW


def test_h09_a_large_document_needs_little_memory():
    """The document is never in memory as a whole."""
    inside = b",".join([compact(MANY[0])] * 1000)
    stored = gzip.compress(b'{"Records":[' + b",".join([inside] * 60) + b"]}", 1)
    tracemalloc.start()
    assert sum(piece.count for piece in read(Body(stored), RECORDS, DecodeLimits())) == 60_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("count", [3, 9_999], ids=["small", "large"])
@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b',{"eventVersion":"1.10","eventName":', "json_truncated"),
        (b',{"a":1}}', "json_broken"),
        (b",", "json_truncated"),
        (b"", "json_truncated"),
        (b"]", "json_truncated"),
        (b',{"a":"unclosed}]}', "json_truncated"),
        (b"]}garbage", "not_json"),
        (b'],"Records":[{"a":1}]}', "json_broken"),
    ],
    ids=[
        "cut",
        "bracket missing",
        "comma",
        "in an array",
        "no brace",
        "quote",
        "garbage",
        "a second array",
    ],
)
def test_h10_broken_after_good_records(count, tail, reason):
    """The records before the damage come out, once; the error tells how many they were."""
    values = [*MANY[:count]]
    text = b'{"Records":[' + b",".join(map(compact, values)) + tail
    found, error = collect(text, RECORDS)
    extra = [b'{"a":1}'] if tail == b',{"a":1}}' else []
    assert error.reason == reason
    assert found == [compact(value) for value in values] + extra
    assert error.record == len(found)


@pytest.mark.parametrize("count", [50, 9_999], ids=["small", "large"])
def test_h10_truncated_gzip_of_records(count):
    """The complete records of a download that was cut come out, then the error of the gzip."""
    stored = gzip.compress(document(MANY[:count]))
    found, error = collect(stored[: len(stored) * 2 // 3], RECORDS)
    assert error.reason == "gzip_truncated"
    assert found == [compact(value) for value in MANY[: len(found)]]
    assert count // 3 < len(found) < count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"hello", "not_json"),
        (b"<html></html>", "not_json"),
        (b'{"Records":"none"}', "records_missing"),
        (b'{"Records":{}}', "records_missing"),
        (b'{"Records":{}', "json_truncated"),
        (b'{"Records":', "json_truncated"),
        (b'{"configurationItems":[{"x":1}],"fileVersion":"1.0"}', "records_missing"),
        (b'{"a":1', "json_truncated"),
        (b'{"caf\xe9":1}', "json_broken"),
        (b"[" * 3_000_000, "json_broken"),
        (b'{"Records":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}", "json_broken"),
        (b'{"Records":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "json_broken"),
    ],
    ids=[
        "text", "html", "string", "object", "object cut", "cut", "other", "cut object", "key in latin-1",
        "brackets", "deep objects", "deep arrays",
    ],
)  # fmt: skip
def test_what_holds_no_records_is_an_error(text, reason):
    """An object that is not what it should be goes to quarantine, not into silence, and crashes nothing."""
    assert collect(text, RECORDS)[1].reason == reason


DOCUMENTS = [document(MANY[:2]), document(MANY[2:5], version=1), document(MANY[5:6])]


@pytest.mark.parametrize(
    "text",
    [
        b"".join(DOCUMENTS),
        b"\n".join(DOCUMENTS),
        b",\n".join(DOCUMENTS),
        b"\r\n\xef\xbb\xbf".join(DOCUMENTS),
        b"[" + b",".join(DOCUMENTS) + b"]",
        b" [\n" + b" ,\n".join(DOCUMENTS) + b"\n]\n",
        b"[" + b",".join(DOCUMENTS[:2]) + b"]\n" + DOCUMENTS[2],
        b"[" + b",".join([*DOCUMENTS[:2], compact(MANY[5])]) + b"]",
        b"[" + b",".join([*map(compact, MANY[:2]), *DOCUMENTS[1:]]) + b"]",
        json.dumps([json.loads(one) for one in DOCUMENTS], indent=2, ensure_ascii=False).encode(),
        b"\n".join([*DOCUMENTS[:2], b"{}", b'{"Records":null}', b'{"Records":[]}', b"[]", DOCUMENTS[2]]),
    ],
    ids=[
        "one behind the other", "lines", "commas", "marks", "list", "list on lines", "list and document",
        "list with a record", "list with records first", "pretty list", "empty ones",
    ],
)  # fmt: skip
@pytest.mark.parametrize("many", [1, 400])
def test_r3_documents_of_records_in_any_row(text, many):
    """Records come out of every document of an object, however the documents are put together."""
    expected = [compact(value) for value in MANY[:6]]
    assert events(b"\n".join([text] * many), RECORDS) == expected * many


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"error 42", "json_broken"),
        (b"<html>\n</html>", "json_broken"),
        (b"null", "json_broken"),
        (b'{"a":[1]}', "records_missing"),
        (b'{"Records":{"eventName":"x"}}', "records_missing"),
        (b'{"Records":"x"}', "records_missing"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_r3_what_is_no_document_costs_itself(bad, reason, at):
    """What stands between documents goes to quarantine alone; behind the last one, the error tells of it."""
    rows = [*DOCUMENTS[:at], bad, *DOCUMENTS[at:]]
    pieces = decoded(b"\n".join([*rows, b""]), RECORDS)
    assert [(piece.payload, piece.reason) for piece in pieces if piece.reason] == [(bad, reason)]
    assert joined(pieces).split(b"\n")[:-1] == [compact(value) for value in MANY[:6]]
    found, error = collect(b"\n".join([*DOCUMENTS, bad]), RECORDS)
    assert (len(found), error.record) == (6, 6)
    assert error.reason in {reason, "not_json"}


def test_r3_a_list_of_documents_that_is_cut():
    """Whole records come out, also of the document that is cut; a list without its end is told."""
    text = b"[" + b",".join(DOCUMENTS) + b"]"
    for end, count in ((-1, 6), (-3, 6), (-4, 5), (len(DOCUMENTS[0]) + 1, 2), (len(DOCUMENTS[0]) + 2, 2)):
        found, error = collect(text[:end], RECORDS)
        assert (found, error.reason) == ([compact(value) for value in MANY[:count]], "json_truncated")


def test_r3_a_document_in_a_list_with_two_arrays_is_told():
    """The first array comes out, then the error; none is lost in silence."""
    twice = document(MANY[:2])[:-1] + b',"Records":[' + compact(MANY[3]) + b"]}"
    found, error = collect(b"[" + document(MANY[:1]) + b"," + twice + b"]", RECORDS)
    assert (len(found), error.reason) == (3, "json_broken")


@pytest.mark.parametrize("end", [-1, -2])
def test_r3_a_document_that_lacks_its_last_bracket(end):
    """It is told, and the next document is read."""
    pieces = decoded(DOCUMENTS[0][:end] + b"\n" + DOCUMENTS[1], RECORDS)
    assert joined(pieces).split(b"\n")[:-1] == [compact(value) for value in MANY[:5]]
    assert [piece.reason for piece in pieces if piece.reason] == ["json_broken"]


def test_h10_cloudtrail_lakes_events():
    """Lines of eventData are events as they stand."""
    line = (
        b'{"eventVersion":"1.0","eventCategory":"ActivityAuditLog","eventType":"ActivityLog","eventData":{}}'
    )
    assert events(line + b"\n" + b'{"eventData":{"UID":"1"}}\n' + line, RECORDS) == [
        line,
        b'{"eventData":{"UID":"1"}}',
        line,
    ]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (b'{"a":"tab\there"}', b'{"a":"tab\there"}'),
        (b'{"a":"half \\ud83d"}', b'{"a":"half \\ud83d"}'),
        (b'{"a":"caf\xe9"}', '{"a":"caf\ufffd"}'.encode()),
        (b'{"a":"nul\0"}', '{"a":"nul\ufffd"}'.encode()),
        (b'{"a":"new\nline"}', b'{"a":"new line"}'),
        (b'{ "a" : 1.50 }', b'{ "a" : 1.50 }'),
        (b'{"a":1e400,"b":12345678901234567890123}', b'{"a":1e400,"b":12345678901234567890123}'),
    ],
    ids=["tab", "half a pair", "latin-1", "nul", "newline in a string", "spaces", "numbers"],
)
def test_h08_records_in_any_state(inside, expected):
    """What strict JSON forbids and AWS or a bad copy still wrote comes out, repaired where it must be."""
    whole = compact(FEW[0])
    text = b'{"Records":[' + b",".join([whole, inside, whole]) + b"]}"
    assert events(text, RECORDS) == [whole, expected, whole]


def _json(keys):
    return st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.text(max_size=8),
            st.sampled_from(['},{"a":', "]}", '\\"']),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(keys), inner, max_size=3)
        ),
        max_leaves=8,
    )


def _objects(keys=("a", "Records", 'q"', "\u20ac")):
    """Return lists of records. keys: of what is in them."""
    names = st.sampled_from(["a", "b", "Records"])
    return st.lists(st.dictionaries(names, _json(keys), min_size=1, max_size=3), max_size=8)


@given(
    _objects(),
    st.dictionaries(st.sampled_from(["x", "y"]), _json(["a", "Records"]), max_size=2),
    st.booleans(),
)
def test_any_records_come_out_as_they_are(values, around, pretty):
    """For all documents: the events are the elements of the top-level array, in their order."""
    text = json.dumps(
        {**around, "Records": values}, indent=2 if pretty else None, ensure_ascii=False
    ).encode()
    found = events(text, RECORDS)
    assert [json.loads(line) for line in found] == values


def until_broken(stream):
    """Return the pieces before the damage, and whether there was none."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration:
            return pieces, True
        except ObjectBroken:
            return pieces, False


@given(_objects(keys=("c", 'q"')), st.data())  # what begins as records do is one, where the last is cut
@settings(max_examples=60, deadline=None)
def test_windows_do_not_change_what_comes_out(values, data):
    """For all window sizes, and wherever the document is cut off: the complete records, and no others."""
    text = document(values, x=1)
    end = data.draw(st.integers(0, len(text)))
    window = data.draw(st.integers(1, 40))
    saved = (module.CHUNK_BYTES, module._SMALL)
    module.CHUNK_BYTES, module._SMALL = window, 2 * window
    try:
        chunks = (text[:end][start : start + window] for start in range(0, end, window))
        pieces, whole = until_broken(records(chunks, RECORDS, 1 << 20))
        assert whole or end < len(text)
    finally:
        module.CHUNK_BYTES, module._SMALL = saved
    check(pieces)
    found = joined(pieces).split(b"\n")[:-1]
    position, expected = len(b'{"Records":['), []
    for value in values:
        position += len(compact(value)) + 1
        if position - 1 <= end:
            expected.append(compact(value))
    assert found == expected


@given(st.binary(max_size=60))
def test_any_bytes_end_in_events_or_an_error(text):
    """Nothing that an object may hold crashes the reader."""
    collect(b'{"Records":[' + text, RECORDS)
    collect(text, RECORDS)


@given(_objects())
def test_the_scanner_agrees_with_the_parser(values):
    """The exact scanner finds the same elements that parsing finds."""
    text = compact(values)
    found = json_scanner.elements(text[1:])
    assert (found.raws, found.state, found.end) == (
        [compact(value) for value in values],
        json_scanner.CLOSED,
        len(text) - 1,
    )
