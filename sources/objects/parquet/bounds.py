"""What a Parquet file may cost, known before anything of it is inflated.

A few hundred bytes can stand for any size: run lengths, dictionaries whose values stand in every row, lists
of as many elements as one likes, a footer that lies about all of it. So columns and names are counted, and of
each row group the headers of all pages are read: a reader makes its memory by them.

What stays small by itself: text is read as indices into a dictionary, and rows come a few thousand at a time.
"""

from collections.abc import Iterator, Sequence
from io import SEEK_SET
from typing import IO, Any

from msgspec import Struct

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import Budget, broken
from sources.objects.parquet.thrift import (
    DELTA_BYTE_ARRAY,
    DELTA_LENGTH_BYTE_ARRAY,
    ColumnChunk,
    PageHeader,
    read_header,
)

ROWS = 8192
BATCH_BYTES = 8 << 20
LARGEST_COLUMNS = 10_000
LARGEST_NAMES = 256 << 10
"""Bytes of all column names, which stand in each row of JSON."""

_LARGEST_PAGE = 128 << 20
"""Inflated. Most writers make pages of 1 MiB, DuckDB of up to 100 MB."""
_LARGEST_AT_ONCE = 256 << 20
"""What one row group may take at a time, in bytes."""
_MOST_PAGES = 100_000
_HEADER_STEPS = (1 << 10, 64 << 10, 1 << 20)
_LEVELS = 12
"""Bytes that a value within a list has beside itself: two levels, and the copies that rows are made of."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12, "BYTE_ARRAY": 4}
"""Bytes of a value in memory, that of a text being an index."""


class RowGroupCost(Struct, frozen=True):
    """What reading a row group takes.

    rows: that are read at a time. size: bytes of memory, at most. dictionaries: paths of the columns that are
    read as indices, which Arrow cannot do with text in delta encodings.
    """

    rows: int
    size: int
    dictionaries: tuple[str, ...]


def check_columns(metadata: Any) -> None:
    """Raise ObjectBroken for more columns than anybody's log has."""
    count = metadata.num_columns
    if count > LARGEST_COLUMNS:
        raise _too_large(f"it has {count} columns, more than {LARGEST_COLUMNS}")
    names = sum(len(metadata.schema.column(number).path) for number in range(count))
    if names > LARGEST_NAMES:
        raise _too_large(f"its column names have {names} bytes, more than {LARGEST_NAMES}")


def cost_of(file: IO[bytes], schema: Any, group: Sequence[ColumnChunk], claims: Budget) -> RowGroupCost:
    """Return what a row group takes to read. claims: is told what its pages inflate to.

    Raises ObjectBroken when it would take too much, or is not laid out as its footer says.
    """
    held, wide, pages = 0, 0, 0
    dictionaries: list[str] = []
    for number, chunk in enumerate(group):
        column, told = schema.column(number), _Told()
        for header in _pages(file, chunk):
            pages += 1
            if header.plain > _LARGEST_PAGE or pages > _MOST_PAGES:
                raise _too_large(f"a page of {header.plain} bytes, or more than {_MOST_PAGES} pages")
            claims.spend(header.plain)
            told.add(header)
        width = _WIDTHS.get(column.physical_type) or max(1, column.length)
        if told.delta:
            width += max(told.longest, told.dictionary)
        else:
            dictionaries.append(column.path)
        held += told.page + told.dictionary
        if column.max_repetition_level:
            held += told.values * (_LEVELS + 2 * width)
        else:
            wide += width
    if max(held, wide) > _LARGEST_AT_ONCE:
        raise _too_large(f"a row group takes {max(held, wide)} bytes to read, more than {_LARGEST_AT_ONCE}")
    count = max(1, min(ROWS, BATCH_BYTES // max(wide, 1)))
    return RowGroupCost(count, held + BATCH_BYTES, tuple(dictionaries))


class _Told(Struct):
    """What the pages of a column chunk tell.

    delta: text is told by what differs. longest: bytes of a value that may repeat the one before.
    """

    values: int = 0
    page: int = 0
    dictionary: int = 0
    longest: int = 0
    delta: bool = False

    def add(self, header: PageHeader) -> None:
        if header.dictionary:
            self.dictionary = max(self.dictionary, header.plain)
            return
        self.values += header.values
        self.page = max(self.page, header.packed + header.plain)
        self.delta |= header.encoding in (DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY)
        if header.encoding == DELTA_BYTE_ARRAY:
            self.longest = max(self.longest, header.plain)


def _pages(file: IO[bytes], chunk: ColumnChunk) -> Iterator[PageHeader]:
    """Yield the headers of a column chunk's pages, all that a reader would come to."""
    at, seen = chunk.start, 0
    while at < chunk.start + chunk.size and seen < chunk.values:
        header = _header(file, at)
        at += header.size + header.packed
        seen += 0 if header.dictionary else header.values
        yield header


def _header(file: IO[bytes], at: int) -> PageHeader:
    for step in _HEADER_STEPS:
        file.seek(at, SEEK_SET)
        try:
            return read_header(file.read(step))
        except IndexError:
            continue
        except ValueError as error:
            raise broken("parquet_broken", f"a page header is {error}, at byte {at}") from error
    raise broken("parquet_broken", f"a page header without end at byte {at}")


def _too_large(what: str) -> ObjectBroken:
    return broken("parquet_too_large", what, "have it written with smaller row groups, pages or schemas")
