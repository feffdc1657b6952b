"""Whatever a Parquet file says, reading it takes bounded memory, and good rows come out."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.security.appetite import ROOT, measured
from tests.security.bombs import parquet
from tests.security.hostile_parquet import repeating

MOST_BYTES = 300 << 20
_MIB = 1 << 20


def made(seed: int, path: Path) -> Path:
    """Write the file of a seed by a process of its own, whose memory is given back."""
    command = [sys.executable, "-m", "tests.security.hostile_parquet", str(seed), str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    return path


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("layout", ["parquet", "values"])
def test_a2_any_hostile_schema_costs_little(seed, layout, tmp_path):
    """Every type within every other, values that stand everywhere: bounded memory, a reason or events."""
    found = measured(made(seed, tmp_path / "object"), layout)
    assert found.bytes < MOST_BYTES
    assert found.reason in {"", "object_bomb", "parquet_too_large", "record_too_large"}
    assert found.reason or found.events


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()], ids=str
)
@pytest.mark.parametrize("form", ["plain", "struct", "list", "map", "dictionary"])
def test_a2_a_long_value_in_every_row(kind, form, tmp_path):
    """A value of a megabyte in 8,192 rows is held once, whatever type it has and whatever it stands in."""
    value = pa.array(["x" * _MIB]).cast(pa.large_string() if "large" in str(kind) else pa.string())
    indices = pa.array(memoryview(bytes(4 * 8192)).cast("i"), pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, value if "string" in str(kind) else value.cast(kind))
    offsets = pa.array(range(8193), pa.int32())
    wrapped = {
        "plain": lambda: column,
        "dictionary": lambda: column,
        "struct": lambda: pa.StructArray.from_arrays([column], ["a"]),
        "list": lambda: pa.ListArray.from_arrays(offsets, column),
        "map": lambda: pa.MapArray.from_arrays(offsets, pa.repeat("k", 8192), column),
    }
    path = tmp_path / "object"
    path.write_bytes(parquet({"c": wrapped[form]()}, write_statistics=False, store_schema=form != "plain"))
    assert path.stat().st_size < 2 * _MIB
    found = measured(path, "values")
    assert (found.reason, found.bytes < MOST_BYTES) == ("object_bomb", True)


def test_a2_values_that_repeat_the_one_before(tmp_path):
    """Delta encoding makes each value of all of the one before: rows come a few at a time."""
    path = tmp_path / "object"
    path.write_bytes(repeating(200, _MIB))
    assert path.stat().st_size < 2 * _MIB
    found = measured(path, "values")
    assert found.bytes < MOST_BYTES
    assert found.events == 200 or found.reason == "object_bomb"


@pytest.mark.parametrize(
    "names",
    [["a"] * 20_000, [f"c{number}" for number in range(20_000)], ["n" * 300_000, "b"]],
    ids=["one name", "many", "a long name"],
)
def test_a2_columns_are_bounded(names, tmp_path):
    """More columns, or longer names, than anybody's log has: the object says so, and costs little."""
    path = tmp_path / "object"
    table = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="none", use_dictionary=False, write_statistics=False)
    path.write_bytes(out.getvalue().to_pybytes())
    found = measured(path, "values")
    assert (found.reason, found.events) == ("parquet_too_large", 0)
    assert found.bytes < MOST_BYTES
