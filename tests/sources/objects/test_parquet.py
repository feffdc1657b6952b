"""Rows of Parquet come out as the lines that the text form of the same log has."""

import datetime as dt
import decimal
import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.objects.decode import DecodeLimits, Layout, head, read, skip
from sources.objects.parquet import rows as parquet
from tests.sources.objects.decoding import Body, check, collect, decoded, events, joined
from transforms import cloudfront, vpcflow

VPC = Layout(is_header=vpcflow.is_header, column=vpcflow.column)
CLOUDFRONT = Layout(comment=b"#", separator=b"\t", column=cloudfront.column)


def file(columns: dict, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


FLOWS = {
    "version": pa.array([2, 2, None], pa.int32()),
    "account_id": ["000123456789", "000123456789", None],
    "srcport": pa.array([443, None, 0], pa.int32()),
    "bytes": pa.array([1 << 40, 7, None], pa.int64()),
    "log_status": ["OK", "NODATA", ""],
}
LINES = [b"2 000123456789 443 1099511627776 OK", b"2 000123456789 - 7 NODATA", b"- - 0 - -"]


@pytest.mark.parametrize(
    "stored",
    [
        file(FLOWS),
        file(FLOWS, compression="gzip"),
        file(FLOWS, compression="zstd", row_group_size=1),
        file(FLOWS, compression="none", use_dictionary=False),
        gzip.compress(file(FLOWS)),
    ],
    ids=["snappy", "gzip", "three row groups", "plain", "named and packed as .gz"],
)
def test_h11_rows_are_lines(stored):
    """Columns in file order, null and "" as `-`, account ids with their zeros, names with hyphens."""
    pieces = decoded(stored, VPC)
    assert joined(pieces).split(b"\n")[:-1] == LINES
    assert {piece.header for piece in pieces} == {b"version account-id srcport bytes log-status"}


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("pages", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_r8_every_codec_page_and_encoding(compression, pages, dictionary):
    """However a writer packs, pages and encodes them, the rows are the same; INT96 times are times."""
    columns = {
        **FLOWS,
        "start": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC")),
    }
    stored = file(
        columns, compression=compression, data_page_version=pages, use_dictionary=dictionary,
        use_deprecated_int96_timestamps=dictionary,
    )  # fmt: skip
    rows = [json.loads(line) for line in joined(decoded(stored, Layout(values=True))).split(b"\n")[:-1]]
    assert [row["bytes"] for row in rows] == [1 << 40, 7, None]
    assert {row["start"].rstrip("Z0").rstrip(".") for row in rows} == {"2026-01-02T03:04:05"}
    lines = joined(decoded(file(FLOWS, compression=compression, data_page_version=pages), VPC))
    assert lines.split(b"\n")[:-1] == LINES


def test_nested_times_of_nanoseconds_are_text():
    """A time that Python cannot hold, within a struct or list, comes out as Arrow writes it."""
    kind = pa.struct([("at", pa.list_(pa.timestamp("ns")))])
    (line,) = events(file({"a": pa.array([{"at": [1]}], kind)}), VPC)
    assert line == b'{"at":["1970-01-01T00:00:00.000000001"]}'


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([{"a": 2**62}], pa.struct([("a", pa.timestamp("us"))])), b'{"a":"4611686018427387904"}'),
        (pa.array([[2**30]], pa.list_(pa.date32())), b'["1073741824"]'),
        (
            pa.array([{"a": 1}], pa.struct([("a", pa.timestamp("s", tz="Nowhere/Land"))])),
            b'{"a":"1970-01-01T00:00:01.000Z"}',
        ),
        (pa.array([1], pa.timestamp("s", tz="Nowhere/Land")), b"1970-01-01 00:00:01.000Z"),
    ],
    ids=["year 148108", "day beyond all", "no zone", "no zone at the top"],
)
def test_times_beyond_all_calendars_are_numbers(column, expected):
    """A time that no calendar has comes out as the number that was stored, one of an unknown zone in UTC."""
    assert events(file({"a": column}), VPC) == [expected]


def test_h12_cloudfront_rows_are_tab_separated():
    """Columns get the names that `#Fields` has for them."""
    (piece,) = decoded(
        file({"date": ["2026-01-02"], "cs_host": ["example.org"], "cs_uri_stem": ["/a%20b"]}), CLOUDFRONT
    )
    assert piece.payload == b"2026-01-02\texample.org\t/a%20b\n"
    assert piece.header == b"date\tcs(Host)\tcs-uri-stem"


MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([True, None]), [b"true", b"-"]),
        (pa.array([decimal.Decimal("1.50"), None]), [b"1.50", b"-"]),
        (pa.array([0.199, None]), [b"0.199", b"-"]),
        (pa.array([MOMENT, None], pa.timestamp("us", "UTC")), [b"2026-01-02 03:04:05.000600Z", b"-"]),
        (pa.array([dt.date(2026, 1, 2), None]), [b"2026-01-02", b"-"]),
        (pa.array([b"caf\xe9", None]), ["caf\ufffd".encode(), b"-"]),
        (pa.array([b"abcd", None], pa.binary(4)), [b"abcd", b"-"]),
        (pa.array([[1, 2], None]), [b"[1,2]", b"-"]),
        (pa.array([{"a": "x"}, None]), [b'{"a":"x"}', b"-"]),
        (pa.array(["x\ny\r\nz", 'quote " and\\back']), [b"x y z", b'quote " and\\back']),
        (pa.array([1, None], pa.uint64()), [b"1", b"-"]),
        (pa.array(["a", "a"]).dictionary_encode(), [b"a", b"a"]),
        (pa.array(["a", None], pa.large_string()), [b"a", b"-"]),
        (pa.nulls(2), [b"-", b"-"]),
        (pa.array(["nul\0", "日本"]), ["nul\ufffd".encode(), "日本".encode()]),
    ],
    ids=str,
)  # fmt: skip
def test_h11_values_of_every_type_are_text(values, expected):
    """Whatever type a column has, a row is one line of text."""
    assert events(file({"v": values}), VPC) == expected


def test_h11_a_file_without_rows_has_no_events():
    """No rows, no pieces."""
    assert decoded(file({"version": pa.array([], pa.int32())}), VPC) == []


@pytest.mark.parametrize(
    "stored",
    [
        file(FLOWS)[:-20],
        file(FLOWS)[:40],
        b"PAR1",
        b"PAR1" + b"x" * 100 + b"PAR1",
        file(FLOWS)[:-4] + b"XXXX",
    ],
    ids=["cut", "head only", "magic only", "nonsense", "no magic at the end"],
)
def test_h08_broken_parquet_is_an_error(stored):
    """What cannot be read as Parquet goes to quarantine."""
    found, error = collect(stored, VPC)
    assert (found, error.reason) == ([], "parquet_broken")


def test_damaged_pages_are_an_error_after_the_good_rows():
    """A damaged row group does not take the rows before it along."""
    rows = {"v": [f"{number:06}" for number in range(20_000)]}
    stored = bytearray(file(rows, compression="gzip", row_group_size=10_000, use_dictionary=False))
    middle = pq.ParquetFile(io.BytesIO(bytes(stored))).metadata.row_group(1).column(0).data_page_offset
    stored[middle + 40 : middle + 400] = bytes(360)
    found, error = collect(bytes(stored), VPC)
    assert error.reason == "parquet_broken"
    assert 0 < len(found) == error.record <= 10_000
    assert found == [value.encode() for value in rows["v"][: len(found)]]


def test_h09_a_value_in_many_rows_is_not_multiplied_in_memory():
    """A dictionary makes megabytes stand in every row at no cost: rows come out a few at a time."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), ["x" * 100_000])
    stored = file({"v": values}, write_statistics=False, store_schema=False)
    assert len(stored) < 1 << 20
    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    count, largest = 0, 0
    for piece in read(Body(stored), VPC, DecodeLimits(max_ratio=1e9)):
        count += piece.count
        largest = max(largest, pa.total_allocated_bytes() - arrow)
        if count > 200:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(peak, largest) < 64 << 20
    assert collect(stored, VPC)[1].reason == "object_bomb"


def test_h09_a_claimed_size_beyond_the_limit_is_refused_before_reading():
    """What the footer says the rows take is compared with the limit first."""
    stored = file({"v": [f"{number:032}" for number in range(10_000)]}, use_dictionary=False)
    found, error = collect(stored, VPC, DecodeLimits(max_bytes=150_000))
    assert (found, error.reason) == ([], "object_bomb")


def test_large_files_are_spooled(monkeypatch):
    """Beyond the memory limit the object waits in a file without a name; the rows are the same."""
    monkeypatch.setattr("sources.objects.stored_bytes.IN_MEMORY", 100)
    monkeypatch.setattr(parquet, "IN_MEMORY", 100)
    assert events(file(FLOWS), VPC) == LINES


def test_resume_by_rows():
    """Rows are counted like lines: a resume goes on with the next one."""
    stored = file({"v": [str(number) for number in range(20_000)]})
    pieces = decoded(stored, VPC)
    assert len(pieces) > 1
    rest = joined(skip(iter(pieces), 9_001)).split(b"\n")[:-1]
    assert rest == [str(number).encode() for number in range(9_001, 20_000)]


def test_head_names_the_columns():
    """Recognition of Parquet needs its column names, which stand at the file's end."""
    assert head(io.BytesIO(file(FLOWS)), 1 << 16) == b"PAR1 version account_id srcport bytes log_status"
    assert head(io.BytesIO(file(FLOWS)[:-9]), 1 << 16) == b"PAR1"


_text = st.text(st.characters(codec="utf-8"), max_size=6)


@given(
    st.lists(
        st.tuples(st.none() | _text, st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=12
    )
)
@settings(deadline=None)
def test_any_rows_are_lines(rows):
    """For all values: one line a row, its columns as text."""
    texts, numbers = zip(*rows, strict=True)
    stored = file({"t": pa.array(texts, pa.string()), "n": pa.array(numbers, pa.int64())})
    pieces = decoded(stored, VPC)
    check(pieces)

    def told(value):
        text = str(value) if value not in (None, "") else "-"
        for raw in ("\r\n", "\n", "\r"):
            text = text.replace(raw, " ")
        return text.replace("\0", "\ufffd")

    got = [" ".join(line.split()) for line in joined(pieces).decode().split("\n")[:-1]]
    assert got == [" ".join(f"{told(text)} {told(number)}".split()) for text, number in rows]
