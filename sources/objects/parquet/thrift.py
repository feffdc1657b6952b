"""Parquet's own words about a file, as far as they tell sizes: footer and page headers.

What a footer says may be a lie; what stands before a page is what memory is made for. pyarrow gives none of
the headers, and ends the process over some footers (an exception of C++ where column chunks are asked for).
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY = 6, 7
"""Encodings of text; in the second one each value may repeat all of the one before."""

Wanted: TypeAlias = Mapping[int, Any]
"""Fields of a struct, by number, that are kept: for a struct, or a list of them, what is wanted of it."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_NUMBERS = frozenset({_I16, _I32, _I64})
_DEEPEST = 16
_LONGEST_VARINT = 63

_DATA, _DICTIONARY, _DATA_V2 = 5, 7, 8
_PAGE: Wanted = {2: None, 3: None, _DATA: {1: None, 2: None}, _DICTIONARY: {}, _DATA_V2: {1: None, 4: None}}
_FOOTER: Wanted = {4: {1: {3: {5: None, 7: None, 9: None, 11: None}}}}


class PageHeader(Struct, frozen=True):
    """size: bytes of the header itself. packed, plain: bytes of the page as stored, and inflated.

    values: that the page holds, nulls included. dictionary: it is one, and holds none.
    """

    size: int
    packed: int
    plain: int
    values: int
    encoding: int
    dictionary: bool


class ColumnChunk(Struct, frozen=True):
    """Where the pages of a column are, in bytes, and how many values the footer tells of them."""

    start: int
    size: int
    values: int


def read_header(data: bytes) -> PageHeader:
    """Return the page header at the beginning of `data`. Raises IndexError when that is too short for it.

    Raises ValueError for what is no page header.
    """
    reader = _Thrift(data)
    fields = reader.struct(_PAGE)
    data_, data_v2 = (
        found if isinstance(found, dict) else {} for found in map(fields.get, (_DATA, _DATA_V2))
    )
    packed, plain = fields.get(3, -1), fields.get(2, -1)
    values = max(data_.get(1, 0), data_v2.get(1, 0), 0)
    if packed < 0 or plain < 0:
        raise ValueError("without a size")
    encoding = data_.get(2, 0) or data_v2.get(4, 0)
    return PageHeader(reader.at, packed, plain, values, encoding, _DICTIONARY in fields)


def _struct(found: Any) -> dict[int, int]:
    return found if isinstance(found, dict) else {}


def read_footer(data: bytes) -> list[list[ColumnChunk]]:
    """Return the column chunks of each row group. Raises ValueError for what is no footer."""
    try:
        groups = _Thrift(data).struct(_FOOTER).get(4) or []
        return [[_chunk(column.get(3) or {}) for column in group.get(1) or ()] for group in groups]
    except (IndexError, AttributeError, TypeError) as error:  # lists where structs should be
        raise ValueError("the footer is none") from error


def _chunk(told: Mapping[int, int]) -> ColumnChunk:
    start, dictionary = told.get(9, -1), told.get(11, 0)
    if 0 < dictionary < start:
        start = dictionary
    if start < 0 or told.get(7, -1) < 0 or told.get(5, -1) < 0:
        raise ValueError("a column has no place or size")
    return ColumnChunk(start, told[7], told[5])


class _Thrift:
    """Reads structs from the beginning of some bytes. at: how far it has come."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, wanted: Wanted, depth: int = 0) -> dict[int, Any]:
        """Return a struct's wanted fields: numbers, structs, and lists of structs."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            value = self._value(head & 0x0F, wanted.get(number) or {}, depth + 1)
            if number in wanted and isinstance(value, int) == (wanted[number] is None):
                found[number] = value
        return found

    def _value(self, kind: int, wanted: Wanted, depth: int) -> Any:
        if kind in _NUMBERS:
            return self._number()
        if kind == _STRUCT:
            return self.struct(wanted, depth)
        if kind in (_LIST, _SET):
            return self._list(wanted, depth)
        if kind in (_BYTE, _DOUBLE):
            return self._skip(1 if kind == _BYTE else 8)
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind not in (_TRUE, _FALSE):
            raise ValueError("of a kind that Parquet has not")
        return None

    def _list(self, wanted: Wanted, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 0x0F else head >> 4  # noqa: PLR2004 - 15: the count follows
        if depth > _DEEPEST or count > len(self._data):
            raise ValueError("nested too deeply, or of a list too long")
        kind = _BYTE if head & 0x0F in (_TRUE, _FALSE) else head & 0x0F
        values = (self._value(kind, wanted, depth + 1) for _ in range(count))
        return [value for value in values if wanted]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        found, shift = 0, 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte has no high bit
                return found
            shift += 7
            if shift > _LONGEST_VARINT:
                raise ValueError("of a number too long")

    def _number(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
