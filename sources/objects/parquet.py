"""Parquet objects as the lines that the text form of the same log would have.

Rows become lines in Arrow's kernels, a batch at a time: no Python object per row or value (except where a
value holds what a line cannot).
"""

import tempfile
from collections.abc import Iterator
from os import SEEK_END
from typing import IO, Any

import msgspec

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import CHUNK_BYTES, Budget, DecodedChunk, broken
from sources.objects.text_repair import repaired
from transforms import arrow as pa
from transforms.layout import Layout

MAGIC = b"PAR1"
_UNREADABLE = (OSError, ValueError, OverflowError, KeyError)
"""Of what Arrow makes Python values with: names not in UTF-8, times beyond all calendars."""
_TAIL_BYTES = 8  # the footer's length and the magic
_IN_MEMORY = 32 << 20
_ROWS = 8192
_BATCH_BYTES = 8 << 20
_LARGEST_FOOTER = 8 << 20
"""Its parsed form takes forty times as much: a million columns, or row groups, are nobody's log."""


def rows(chunks: Iterator[bytes], layout: Layout, budget: Budget) -> Iterator[DecodedChunk]:
    """Yield the rows of a Parquet object as lines; null and "" are `-`.

    The object is held in memory up to 32 MiB, beyond that in a temporary file without a name.
    """
    with _spooled(chunks) as file:
        try:
            yield from _rows(_opened(file, budget), layout, budget)
        except (pa.ArrowException, *_UNREADABLE) as error:
            told = str(error).partition("\n")[0][:200]
            raise broken("parquet_broken", f"not readable as Parquet ({told})") from error


def columns(chunks: Iterator[bytes]) -> list[str]:
    """Return the names of a Parquet object's columns; none when it is broken."""
    with _spooled(chunks) as file:
        try:
            return list(_schema(file).names)
        except (pa.ArrowException, *_UNREADABLE, ObjectBroken):
            return []


def _spooled(chunks: Iterator[bytes]) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    for chunk in chunks:
        file.write(chunk)
    file.seek(0)
    return file


def _schema(file: IO[bytes]) -> Any:
    """Return the schema; leave the file at its beginning. Raises ObjectBroken for one too large to parse."""
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    footer = int.from_bytes(file.read(4), "little")
    file.seek(0)
    if _LARGEST_FOOTER < footer <= size:
        raise broken("parquet_broken", f"its footer has {footer} bytes, more than {_LARGEST_FOOTER}")
    schema = pa.parquet.read_schema(file)
    file.seek(0)
    return schema


def _opened(file: IO[bytes], budget: Budget) -> Any:
    """Open the file; what it claims to hold uncompressed is checked before anything is inflated.

    Text columns stay dictionaries until rows are made: a value that stands in many rows is held once.
    """
    schema = _schema(file)
    texts = [
        field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
    ]
    size = file.seek(0, SEEK_END)
    file.seek(0)
    step = CHUNK_BYTES if size > _IN_MEMORY else 0  # by steps Arrow takes what a page claims, 2 GiB at most
    opened = pa.parquet.ParquetFile(file, buffer_size=step, pre_buffer=False, read_dictionary=texts)
    metadata = opened.metadata
    claimed = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    Budget(budget.limits, budget.stored).spend(claimed)
    return opened


def _rows(file: Any, layout: Layout, budget: Budget) -> Iterator[DecodedChunk]:
    names = [layout.column(name) for name in file.schema_arrow.names]
    header = layout.separator.join(name.encode() for name in names)
    separator = layout.separator.decode()
    records = 0
    for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
        for part in _divided(batch):
            records += part.num_rows
            payload = lines_of(part, separator)
            budget.spend(len(payload))
            yield DecodedChunk(payload, part.num_rows, records, header)


def _divided(batch: Any) -> Iterator[Any]:
    """Yield slices of a batch whose text is about 8 MiB at most: one long value may stand in every row."""
    size = sum(map(_most_bytes, batch.columns))
    step = max(1, batch.num_rows * _BATCH_BYTES // max(size, _BATCH_BYTES))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _most_bytes(column: Any) -> int:
    """Return the most that a column may take as text."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    longest = pa.compute.max(pa.compute.binary_length(column.dictionary)).as_py() or 0
    return len(column) * int(longest)


def lines_of(batch: Any, separator: str) -> bytes:
    """Return the rows of a record batch as newline-terminated lines of joined columns."""
    columns_ = [_filled(column) for column in batch.columns]
    try:
        return repaired(_written(columns_, separator))
    except pa.ArrowException:  # a quote, separator or newline within a value, or a type that CSV has not
        return repaired(_joined([_one_line(column) for column in columns_], separator))


def _filled(column: Any) -> Any:
    """Return a column with `-` for null and "", as text where it is not a plain number."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not column.null_count and pa.types.is_integer(column.type):
        return column
    if not pa.types.is_string(column.type):
        column = _as_text(column)
    if column.null_count:
        column = pa.compute.fill_null(column, "-")
    has_empty = pa.compute.min(pa.compute.binary_length(column)).as_py() == 0
    return pa.compute.if_else(pa.compute.equal(column, ""), "-", column) if has_empty else column


def _as_text(column: Any) -> Any:
    kind = column.type
    if pa.types.is_nested(kind):
        values = _values(column)
        return pa.array([None if one is None else msgspec.json.encode(one).decode() for one in values])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
        return pa.compute.cast(column, options=pa.compute.CastOptions(pa.string(), allow_invalid_utf8=True))
    return column.cast(pa.string())


def _values(column: Any) -> list[Any]:
    """Return a nested column as Python values; times of nanoseconds, which Python has not, as text."""
    try:
        return list(column.to_pylist())
    except ValueError:
        return list(column.cast(_without_times(column.type)).to_pylist())


def _without_times(kind: Any) -> Any:
    """Return a nested type with texts where it has times."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _written(columns_: list[Any], separator: str) -> bytes:
    """Return rows by way of Arrow's CSV writer, which refuses what would need quotes."""
    batch = pa.RecordBatch.from_arrays(columns_, list(map(str, range(len(columns_)))))
    options = pa.csv.WriteOptions(include_header=False, delimiter=separator, quoting_style="none")
    out = pa.BufferOutputStream()
    pa.csv.write_csv(batch, out, options)
    return bytes(out.getvalue().to_pybytes())


def _one_line(column: Any) -> Any:
    return pa.compute.replace_substring_regex(column.cast(pa.string()), r"[\r\n]+", " ")


def _joined(columns_: list[Any], separator: str) -> bytes:
    joined = pa.compute.binary_join_element_wise(*columns_, separator).cast(pa.binary())
    return b"".join([row + b"\n" for row in joined.to_pylist()])
