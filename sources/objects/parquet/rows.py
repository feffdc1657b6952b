"""Parquet objects as rows, a few thousand at a time: JSON objects, or the lines of the log's text form."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from io import SEEK_END
from typing import IO, Any

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import CHUNK_BYTES, Budget, DecodedChunk, broken
from sources.objects.parquet.bounds import BATCH_BYTES, RowGroupCost, check_columns, cost_of
from sources.objects.parquet.row_json import objects
from sources.objects.parquet.row_lines import lines_of
from sources.objects.parquet.thrift import ColumnChunk, read_footer
from sources.objects.stored_bytes import IN_MEMORY, spooled
from sources.objects.text_repair import repaired
from transforms import arrow as pa
from transforms.layout import JSON_ROWS, Layout

MAGIC = b"PAR1"
_UNREADABLE = (OSError, ValueError, OverflowError, KeyError, MemoryError)
"""Of what Arrow makes Python values with: names not in UTF-8, times beyond all calendars."""
_TAIL_BYTES = 8  # the footer's length and the magic
_LARGEST_FOOTER = 4 << 20
"""Its parsed form takes forty times as much: a million columns, or row groups, are nobody's log."""
_HEAVY_BYTES = 64 << 20
_SMALL_BYTES = 256
"""Of a column of a row that is too large: more is not kept."""
_HEAVY = threading.Semaphore()
"""Row groups that take more than this are read one at a time, whoever reads them."""


def rows(chunks: Iterator[bytes], layout: Layout, budget: Budget) -> Iterator[DecodedChunk]:
    """Yield the rows of a Parquet object, each as one line: JSON, or with `layout.column` joined columns.

    The object is held in memory up to 8 MiB, beyond that in a temporary file without a name.
    """
    with spooled(chunks, budget) as file:
        try:
            yield from _rows(file, layout, budget)
        except (pa.ArrowException, *_UNREADABLE) as error:
            told = str(error).partition("\n")[0][:200]
            raise broken("parquet_broken", f"not readable as Parquet ({told})") from error


def columns(chunks: Iterator[bytes], budget: Budget) -> list[str]:
    """Return the names of a Parquet object's columns; none when it is broken or too large."""
    try:
        with spooled(chunks, budget) as file:
            metadata, _ = _metadata(file)
            return list(metadata.schema.to_arrow_schema().names)
    except (pa.ArrowException, *_UNREADABLE, ObjectBroken):
        return []


def _metadata(file: IO[bytes]) -> tuple[Any, list[list[ColumnChunk]]]:
    """Return the footer as Arrow has it, and the column chunks of each row group.

    Raises ObjectBroken for one too large to parse, or with more columns than anybody's log has.
    """
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    footer = int.from_bytes(file.read(4), "little")
    if _LARGEST_FOOTER < footer <= size:
        raise broken("parquet_too_large", f"its footer has {footer} bytes, more than {_LARGEST_FOOTER}")
    file.seek(0)
    metadata = pa.parquet.read_metadata(file)
    check_columns(metadata)
    file.seek(size - _TAIL_BYTES - footer)
    groups = read_footer(file.read(footer))
    if [len(group) for group in groups] != [metadata.num_columns] * metadata.num_row_groups:
        raise ValueError("a row group has not the columns of the schema")
    return metadata, groups


def _rows(file: IO[bytes], layout: Layout, budget: Budget) -> Iterator[DecodedChunk]:
    """Yield rows, row group by row group. What a group takes is known from its pages before it is read."""
    metadata, groups = _metadata(file)
    claims = Budget(budget.limits, budget.stored)
    records = 0
    for number, group in enumerate(groups):
        cost = cost_of(file, metadata.schema, group, claims)
        with _HEAVY if cost.size > _HEAVY_BYTES else nullcontext():
            for batch in _batches(file, metadata, number, cost):
                for payload, count, header, detail in _payloads(batch, layout, budget):
                    records += count
                    reason = "record_too_large" if detail else ""
                    yield DecodedChunk(payload, count, records, header, reason, detail)


def _batches(file: IO[bytes], metadata: Any, group: int, cost: RowGroupCost) -> Iterator[Any]:
    """Yield a row group's rows. Text stays dictionaries: a value that stands in many rows is held once."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    opened = pa.parquet.ParquetFile(
        file,
        metadata=metadata,
        buffer_size=CHUNK_BYTES if size > IN_MEMORY else 0,
        pre_buffer=False,
        read_dictionary=cost.dictionaries,
        arrow_extensions_enabled=False,
        page_checksum_verification=True,
    )
    yield from opened.iter_batches(cost.rows, row_groups=[group], use_threads=False)


def _payloads(batch: Any, layout: Layout, budget: Budget) -> Iterator[tuple[bytes, int, bytes, str]]:
    """Yield rows, how many, their header, and of one that is too large for an event what is to be said."""
    names = [layout.column(name) if layout.column else name for name in batch.schema.names]
    header = layout.separator.join(name.encode() for name in names) if layout.column else JSON_ROWS
    for part, size in _divided(batch, sum(map(len, names))):
        if size > budget.limits.record_bytes:
            small = [name for name in batch.schema.names if _text_bytes(part.column(name)) <= _SMALL_BYTES]
            told = _json(part.select(small), small) if small else b"{}"
            yield told.rstrip(b"\n"), 1, b"", f"a row of {size} bytes; here are its small columns"
            continue
        made = lines_of(part, layout.separator.decode()) if layout.column else _json(part, names)
        budget.spend(len(made))
        yield made, part.num_rows, header, ""


def _json(batch: Any, names: list[str]) -> bytes:
    rows_ = objects(batch.columns, names).cast(pa.binary()).to_pylist()
    return repaired(b"\n".join([*rows_, b""]))


def _divided(batch: Any, names: int) -> Iterator[tuple[Any, int]]:
    """Yield slices of a batch and the bytes of their text: about 8 MiB at most, unless it is one row.

    One long value may stand in every row. names: bytes of the names in a row.
    """
    size = names * batch.num_rows + sum(map(_text_bytes, batch.columns))
    if size <= BATCH_BYTES or batch.num_rows == 1:
        yield batch, size
    else:
        middle = batch.num_rows // 2
        yield from _divided(batch.slice(0, middle), names)
        yield from _divided(batch.slice(middle), names)


def _text_bytes(column: Any) -> int:
    """Return about what a column takes as text: of dictionaries, what their values come to in its rows."""
    kind, of = column.type, pa.types
    if of.is_dictionary(kind):
        sizes = pa.compute.binary_length(column.dictionary).cast(pa.int64())
        return int(pa.compute.sum(sizes.take(column.indices)).as_py() or 0) + len(column)
    if of.is_struct(kind):
        names = sum(len(field.name) + 4 for field in kind) * len(column)
        return names + sum(map(_text_bytes, column.flatten()))
    if of.is_map(kind):
        first, last = column.offsets[0].as_py(), column.offsets[len(column)].as_py()
        return sum(_text_bytes(part.slice(first, last - first)) for part in (column.keys, column.items))
    if of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind):
        return _text_bytes(pa.compute.list_flatten(column)) + len(column)
    return int(column.nbytes)
