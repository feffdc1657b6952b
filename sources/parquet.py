"""Parquet objects as the lines that the text form of the same log would have.

Rows become lines in Arrow's kernels, a batch at a time: no Python object per row or value.
"""

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from sources.piece import CHUNK_BYTES, Budget, Piece, broken
from sources.text import count_lines, repaired
from transforms.layout import Layout

pc: Any = pyarrow.compute  # its kernels are made at import, no checker knows them all

MAGIC = b"PAR1"
_IN_MEMORY = 32 << 20
_ROWS = 8192
_TEXT = pa.large_string()
_BREAKS = "\\s+"


def rows(chunks: Iterator[bytes], layout: Layout, budget: Budget) -> Iterator[Piece]:
    """Yield the rows of a Parquet object as lines; null and "" are `-`.

    The object is held in memory up to 32 MiB, beyond that in a temporary file without a name.
    """
    with _spooled(chunks) as file:
        try:
            yield from _rows(_opened(file, budget), layout, budget)
        except (pa.ArrowException, OSError) as error:
            told = str(error).partition("\n")[0][:200]
            raise broken("parquet_broken", f"not readable as Parquet ({told})") from error


def columns(chunks: Iterator[bytes]) -> list[str]:
    """Return the names of a Parquet object's columns; none when it is broken."""
    with _spooled(chunks) as file:
        try:
            return list(pq.read_schema(file).names)
        except (pa.ArrowException, OSError):
            return []


def _spooled(chunks: Iterator[bytes]) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in chunks:
        file.write(chunk)
    file.seek(0)
    return file


def _opened(file: IO[bytes], budget: Budget) -> Any:
    """Open the file; what it claims to hold uncompressed is checked before anything is inflated."""
    opened = pq.ParquetFile(file, buffer_size=CHUNK_BYTES, pre_buffer=False)
    metadata = opened.metadata
    claimed = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    Budget(budget.limits, budget.stored).spend(claimed)
    return opened


def _rows(file: Any, layout: Layout, budget: Budget) -> Iterator[Piece]:
    names = [layout.column(name) for name in file.schema_arrow.names]
    header = layout.separator.join(name.encode() for name in names)
    records = 0
    for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
        if batch.num_rows:
            records += batch.num_rows
            payload = lines_of(batch, layout.separator.decode())
            budget.spend(len(payload))
            yield Piece(payload, batch.num_rows, records, header)


def lines_of(batch: Any, separator: str) -> bytes:
    """Return the rows of a record batch as newline-terminated lines of joined columns."""
    values = [_texts(column) for column in batch.columns]
    payload = _joined(values, separator)
    if count_lines(payload) != batch.num_rows:
        payload = _joined([pc.replace_substring_regex(value, _BREAKS, " ") for value in values], separator)
    return repaired(payload)


def _joined(values: list[Any], separator: str) -> bytes:
    text = pa.scalar("", _TEXT)
    rows_ = pc.binary_join_element_wise(*values, pa.scalar(separator, _TEXT))
    return _bytes(pc.binary_join_element_wise(rows_, text, pa.scalar("\n", _TEXT)))


def _bytes(array: Any) -> bytes:
    """Return the text of all rows of a large_string array without nulls: its value buffer as it is."""
    offsets = memoryview(array.buffers()[1]).cast("q")
    start, end = offsets[array.offset], offsets[array.offset + len(array)]
    data = array.buffers()[2]
    return data[start:end].to_pybytes() if data is not None else b""


def _texts(column: Any) -> Any:
    """Return a column as large_string with `-` for null and ""."""
    values = pc.fill_null(_cast(column), "-")
    return pc.if_else(pc.equal(values, ""), "-", values)


def _cast(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_nested(kind):
        values = column.to_pylist()
        return pa.array([None if one is None else msgspec.json.encode(one).decode() for one in values], _TEXT)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.large_binary())
        return pc.cast(column, options=pc.CastOptions(_TEXT, allow_invalid_utf8=True))
    return column.cast(_TEXT)
