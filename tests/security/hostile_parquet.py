"""Hostile Parquet files from a grammar: any type within any other, few bytes that stand for many.

Each is made of a seed. What is asked of memory comes from values that stand in every row or element, which
dictionaries and run lengths store once.

python -m tests.security.hostile_parquet SEED PATH
"""

import io
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_KIB, _MIB = 1 << 10, 1 << 20


def _constant(value: pa.Array, count: int) -> pa.Array:
    """Return an array of one value `count` times, as a dictionary, which takes four bytes each."""
    return pa.DictionaryArray.from_arrays(pa.array(memoryview(bytes(4 * count)).cast("i"), pa.int32()), value)


def _leaf(rng: random.Random, count: int) -> pa.Array:
    size = rng.choice((1, 100, 10 * _KIB, _MIB))
    kind = rng.choice((pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), "fixed", "number"))
    if kind == "number":
        numbers = rng.choice((pa.int8(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("ns", "UTC")))
        return (
            pa.nulls(count, numbers) if rng.random() < 0.2 else pa.repeat(pa.scalar(0).cast(numbers), count)
        )
    if kind == "fixed":
        size = min(size, max(1, 128 * _MIB // max(count, 1)))
        return pa.repeat(pa.scalar(b"x" * size, pa.binary(size)), count)
    value = "x" * size if kind in (pa.string(), pa.large_string()) else b"\xff" * size
    return _constant(pa.array([value], kind), count)


def column(rng: random.Random, rows: int, depth: int = 0) -> pa.Array:
    """Return a column of so many rows."""
    how = rng.choice(("leaf", "struct", "list", "map", "fixed list") if depth < 4 else ("leaf",))
    if how == "leaf":
        return _leaf(rng, rows)
    if how == "struct":
        parts = [column(rng, rows, depth + 1) for _ in range(rng.randint(1, 3))]
        return pa.StructArray.from_arrays(parts, [f"f{number}" for number in range(len(parts))])
    each = rng.choice((1, 3, 1000, 1_000_000))
    each = max(1, min(each, 4_000_000 // max(rows, 1)))
    if how == "fixed list":
        return pa.FixedSizeListArray.from_arrays(column(rng, rows * each, depth + 1), each)
    # All elements may stand in one row, and the others be empty.
    skewed = rng.random() < 0.5
    offsets = [0] + [rows * each if skewed else (row + 1) * each for row in range(rows)]
    if how == "map":
        keys = pa.repeat("k" * (10 * _KIB if rows * each < 10_000 else 1), rows * each)
        return pa.MapArray.from_arrays(
            pa.array(offsets, pa.int32()), keys, column(rng, rows * each, depth + 1)
        )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column(rng, rows * each, depth + 1))


def hostile(seed: int) -> bytes:
    """Return the file of a seed."""
    rng = random.Random(seed)
    rows = rng.choice((1, 100, 10_000, 1_000_000))
    width = rng.randint(1, 4)
    table = pa.table({f"c{number}": column(rng, rows) for number in range(width)})
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        compression=rng.choice(("none", "snappy", "gzip", "zstd", "lz4", "brotli")),
        data_page_version=rng.choice(("1.0", "2.0")),
        row_group_size=rng.choice((None, max(1, rows // 3))),
        data_page_size=rng.choice((None, 1 << 10, 64 << 20)),
        dictionary_pagesize_limit=rng.choice((None, 64 << 20)),
        write_statistics=rng.random() < 0.5,
        store_schema=rng.random() < 0.8,
    )
    return out.getvalue()


def repeating(rows: int, size: int) -> bytes:
    """Return a file whose values each repeat the one before: for a few bytes each, size bytes and more."""
    texts = ["x" * size + f"{number:08}" for number in range(rows)]
    out = io.BytesIO()
    pq.write_table(
        pa.table({"a": texts}), out, use_dictionary=False, compression="none", write_statistics=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"}, data_page_size=64 << 20,
    )  # fmt: skip
    return out.getvalue()


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(hostile(int(sys.argv[1])))
