"""Rows of Parquet come out as typed JSON where the log has no text form."""

import datetime as dt
import decimal
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.objects.decode import DecodeLimits, Layout
from tests.sources.objects.decoding import check, damages, decoded, events, joined

JSON = Layout(values=True)
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=dt.UTC)


def file(columns: dict, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def rows(stored: bytes) -> list[object]:
    return [json.loads(line) for line in events(stored, JSON)]


def test_r8_values_keep_their_types():
    """A tab in a value, a number, null and "" arrive as what they are."""
    stored = file({"ua": ["a\tb", None, ""], "n": pa.array([1, None, 0])})
    assert events(stored, JSON) == [b'{"ua":"a\\tb","n":1}', b'{"ua":null,"n":null}', b'{"ua":"","n":0}']


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([True, None]), [True, None]),
        (pa.array([0.5, float("nan")]), [0.5, None]),
        (pa.array([float("inf"), -1e300]), [None, -1e300]),
        (pa.array([1, None], pa.float16()), [1.0, None]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
        (pa.array([decimal.Decimal("1.50"), None]), [1.5, None]),
        (pa.array([MOMENT, None], pa.timestamp("us", "UTC")), ["2026-01-02T03:04:05.000600Z", None]),
        (pa.array([MOMENT], pa.timestamp("us", "Europe/Madrid")), ["2026-01-02T03:04:05.000600Z"]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([dt.date(2026, 1, 2), None]), ["2026-01-02", None]),
        (pa.array([1], pa.time64("us")), ["00:00:00.000001"]),
        (pa.array([b"text", b"\xff", None]), ["text", "/w==", None]),
        (pa.array([b"abcd"], pa.binary(4)), ["abcd"]),
        (pa.array(['"\\\n', "日本", "nul\0", "\x7f"]), ['"\\\n', "日本", "nul\0", "\x7f"]),
        (pa.array([[1, None], [], None], pa.list_(pa.int32())), [[1, None], [], None]),
        (pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), [[1, 2], None]),
        (pa.array([["a"], None], pa.large_list(pa.large_string())), [["a"], None]),
        (pa.array([{"a": "x", "b": None}, None]), [{"a": "x", "b": None}, None]),
        (pa.array([{"a": [{"b": "x"}]}]), [{"a": [{"b": "x"}]}]),
        (
            pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            [{"k": 1}, {}, None],
        ),
        (pa.array([[(7, "v")]], pa.map_(pa.int32(), pa.string())), [{"7": "v"}]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.nulls(2), [None, None]),
    ],
    ids=str,
)
def test_r8_types_are_jsons_own(values, expected):
    """Numbers, null, lists, structs, maps and all are JSON's; times are ISO 8601, bytes text or base64."""
    assert [row["v"] for row in rows(file({"v": values}))] == expected


def test_r8_groups_and_slices_keep_their_rows():
    """Nested values stay with their rows over batches and row groups."""
    table = {
        "n": list(range(20_000)),
        "m": pa.array([[(str(n), n)] * (n % 3) for n in range(20_000)], pa.map_(pa.string(), pa.int64())),
        "l": [[str(n)] * (n % 4) for n in range(20_000)],
    }
    found = rows(file(table, row_group_size=7_000))
    assert [row["n"] for row in found] == table["n"]
    assert all(row["l"] == [str(row["n"])] * (row["n"] % 4) for row in found)
    assert all(len(row["m"]) == min(row["n"] % 3, 1) for row in found)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"])
def test_r8_encodings_of_text(encoding):
    """Text comes out in whatever way Parquet's second version encodes it."""
    texts = [f"prefix-{number}" for number in range(20_000)]
    stored = file(
        {"a": texts, "s": [{"b": text} for text in texts]},
        use_dictionary=False,
        column_encoding={"a": encoding, "s.b": encoding},
        data_page_version="2.0",
    )
    assert rows(stored) == [{"a": text, "s": {"b": text}} for text in texts]


_any = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)


@given(st.lists(_any, min_size=1, max_size=6))
@settings(deadline=None)
def test_r8_any_rows_are_json(values):
    """Whatever Arrow can hold comes out as Arrow gives it to Python."""
    try:
        column = pa.array(values)
        stored = file({"v": column})
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        return
    pieces = decoded(stored, JSON)
    check(pieces)
    assert [json.loads(line)["v"] for line in joined(pieces).split(b"\n")[:-1]] == column.to_pylist()


def test_r3_a_row_over_the_limit_costs_itself():
    """Its small columns tell which one it is; the rows beside it come out."""
    text = ["x", "y" * (17 << 20), "z"]
    pieces = decoded(file({"n": [1, 2, 3], "text": text}), JSON)
    assert joined(pieces).split(b"\n")[:-1] == [b'{"n":1,"text":"x"}', b'{"n":3,"text":"z"}']
    assert damages(pieces) == [b'{"n":2}']
    assert decoded(file({"a": text}), JSON, DecodeLimits())[1].payload == b"{}"
