"""Processors of Devo's SQS collector are layouts here, or refused with what to use instead."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.config.file_formats import _PROCESSORS, FileFormat
from sources.objects.lines import _ended
from tests.sources.objects.decoding import events
from transforms.block import Block, Origin
from transforms.filters import Filters, keep


def made(kind, **config) -> FileFormat:
    return FileFormat.model_validate({"type": kind, "config": config})


TWO = [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize("suffix", ["", "_processor"])
@pytest.mark.parametrize(
    ("kind", "config", "body", "expected"),
    [
        ("line_split", {"json": True}, b'{"a":1}\n{"a":2}\n', TWO),
        ("line_split", {}, b"# no comment\r\nb", [b"# no comment", b"b"]),
        ("aws_access_logs", {}, b"a b\nc d\n", [b"a b", b"c d"]),
        ("split_or_unseparated", {}, b'{"a":1}{"a":2}', TWO),
        ("split_or_unseparated", {}, b"a\nb\n", [b"a", b"b"]),
        ("text_file", {"line_separator": "\n"}, b"h,i\n1,2\n", [b"h,i", b"1,2"]),
        ("text_file", {"header": True, "header_field_separator": ","}, b"h,i\n1,2\n", [b"1,2"]),
        ("csv", {}, b'h,i\n1,"2\n3"\n', [b'1,"2 3"']),
        ("vpc_flow", {}, b"version account-id\n2 1\n", [b"2 1"]),
        ("unseparated_json", {}, b'{"a":1}{"a":2}', TWO),
        ("unseparated_json", {"flat": True}, b'{"a":1}{"a":2}', TWO),
        ("unseparated_json", {"key": "r"}, b'{"r":[{"a":1},{"a":2}]}', TWO),
        ("unseparated_json", {"key": ["r", "s"]}, b'{"r":{"s":[{"a":1},{"a":2}]}}', TWO),
        ("unseparated_json", {"key": "r", "include": {"o": "a"}}, b'{"o":1,"r":[{}]}', TWO[:1]),
        ("single_json_object", {}, b'{\n"a":1\n}', TWO[:1]),
        ("single_json_object", {"key": "log"}, b'{"log":{"a":1}}', TWO[:1]),
        ("separated_json", {}, b'{"a":1}\n{"a":2}', TWO),
        ("separated_json", {"separator": "||"}, b'{"a":1}||{"a":2}', TWO),
        ("json_array", {}, b'[{"a":1},{"a":2}]', TWO),
        ("json_line_arrays", {}, b'{"a":1}\n{"a":2}', TWO),
        ("json_line_arrow", {}, b'{"a":1}\n{"a":2}', TWO),
        ("json_object_to_linesplit", {"key": "t"}, b'{"t":"x\\ny"}', [b"x", b"y"]),
        ("guardduty", {}, b'{"detail-type":"GuardDuty Finding","detail":{"a":1}}{"a":2}', TWO),
        ("json", {}, b'{"a":1}\n{"a":2}', TWO),
        ("line_split", {"line_separator": "||"}, b"a\nb||c|d||", [b"a b", b"c|d"]),
        ("text_file", {"line_separator": "\r", "header": True}, b"h,i\r1,2\r", [b"1,2"]),
        ("jamf", {}, b'{"a":1}{"a":2}', TWO),
        (
            "bluecoat",
            {},
            b"#Software: SGOS 6\n#Fields: date c-ip\n2026-01-02 10.0.0.1\n",
            [b"2026-01-02 10.0.0.1"],
        ),
    ],
)
def test_a_processor_cuts_as_devo_says(kind, suffix, config, body, expected):
    """Each documented processor makes of an object the events that its documentation shows."""
    assert events(body, made(kind + suffix, **config).layout()) == expected


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("windows_security_processor", {}, "does not describe"),
        ("dict_processor", {}, "does not describe"),
        ("unseparated_json_processor_extract_key", {}, "has no extraction_key"),
        ("lines", {}, "unknown type lines: use one of"),
        ("line_split", {"chunks": True}, "without one of indices, substrings, regex"),
        ("line_split", {"regex": ["a"]}, "without chunks: true"),
        ("line_split", {"chunks": True, "regex": ["(a"]}, "no regular expression of RE2"),
        ("line_split", {"chunks": True, "indices": [-1]}, "greater than or equal to 0"),
        ("text_file", {"chunks": True, "indices": [1]}, "chunks, which text_file does not know"),
        ("line_split", {"key": "a"}, "key, which line_split does not know"),
        ("csv", {"json": True}, "has json, which csv does not know"),
        ("text_file", {"line_separator": ""}, "line_separator"),
        ("text_file", {"field_separator": "ab"}, "field_separator"),
        ("json_object_to_linesplit", {}, "has no key"),
        ("unseparated_json", {"include": {"a": "b"}}, "without key"),
    ],
)
def test_what_cannot_be_done_is_refused(kind, config, told):
    """A processor or parameter that is not known says so, and what is."""
    with pytest.raises(ValidationError, match=told):
        made(kind, **config)


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("line_split", {}, None),
        ("text_file", {"header": True}, None),
        ("text_file", {"use_json": True}, (",", (), True)),
        (
            "text_file",
            {"use_json": True, "field_separator": "\t", "field_names": ["a"]},
            ("\t", ("a",), False),
        ),
        ("csv", {}, (",", (), True)),
        ("csv", {"use_json": False}, None),
        ("csv", {"field_names": ["a", "b"]}, (",", ("a", "b"), True)),
        ("parquet", {}, ("\t", (), False)),
    ],
)
def test_rows_become_json_when_asked(kind, config, expected):
    """use_json makes objects of rows; csv and Parquet do without a word."""
    columns = made(kind, **config).columns()
    found = columns and (columns.separator, columns.names, columns.quoted)
    assert found == expected


@pytest.mark.parametrize(
    ("kind", "config", "json"),
    [("line_split", {}, False), ("line_split", {"json": True}, True), ("csv", {}, True), ("json", {}, True)],
)
def test_what_may_be_json(kind, config, json):
    """Fields are put into events only where they are JSON."""
    assert made(kind, **config).of_json is json


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({"indices": [0, 3]}, [b"h 0", b"d ERROR"]),
        ({"substrings": "ERROR"}, [b"b ERROR", b"d ERROR"]),
        ({"substrings": ["(.", "h"]}, [b"h 0", b"c (."]),
        ({"regex": ["^[bc] "]}, [b"b ERROR", b"c (."]),
        ({"indices": [1], "regex": ["^h"]}, [b"h 0", b"b ERROR"]),
        ({"indices": [9]}, []),
    ],
)
def test_lines_may_be_chosen(config, left):
    """`chunks` sends lines that any selector names, by their number in the object; the rest is counted."""
    lines = [b"h 0", b"b ERROR", b"c (.", b"d ERROR", b"e"]
    rule = made("line_split", chunks=True, **config).config.unchosen
    for first in (0, 2):  # a block may begin within its object
        origin = Origin("custom", object="s3://b/k", record=first)
        payload = b"".join(line + b"\n" for line in lines[first:])
        kept, counts = keep(Block(payload, len(lines) - first, origin), Filters({"chunks": rule}))
        chosen = [line for line in left if line in lines[first:]]
        assert kept.payload.splitlines() == chosen
        assert sum(counts.values()) == len(lines) - first - len(chosen)


@given(
    st.lists(st.text("ab|\n", max_size=5).filter(lambda line: "||" not in line), max_size=6),
    st.integers(1, 4),
)
def test_a_separator_may_lie_across_reads(lines, size):
    """Whatever the reads are, an object is divided at its separator only."""
    body = b"".join(line.strip("|").encode() + b"||" for line in lines)
    texts = b"".join(_ended((body[at : at + size] for at in range(0, len(body), size)), b"||"))
    assert texts == b"".join(line.strip("|").replace("\n", " ").encode() + b"\n" for line in lines)


def test_every_processor_has_a_golden_pair():
    """Each processor that is taken has an object in tests/golden/custom and the bytes that it becomes."""
    folder = Path(__file__).parents[2] / "golden/custom"
    shown = {
        json.loads(path.read_text())["file_format"]["type"].removesuffix("_processor")
        for path in folder.glob("*.options.json")
    }
    assert shown == set(_PROCESSORS)
