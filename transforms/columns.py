r"""Rows of text as JSON objects, column by column: Arrow does the work, no Python per row.

A block of "2 000123456789 - 22\n…" and its column names become {"version":2,"account-id":"000123456789",
"srcaddr":null,"srcport":22}: names as in the header, `-` is null, only fields known as numbers are written
as numbers (and only when they look like one), all else keeps its characters, leading zeros included.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from transforms import arrow as pa
from transforms.block import Block, Item, Poison
from transforms.fields import RecordField

_NULL = "-"
_NOT_IN_JSON = bytes({*range(0x20), *b'"\\'} - {*b"\n"})
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_LARGEST_BATCH = 4096
_MOST_COLUMNS = 10_000
_MOST_BYTES = 64 << 20
"""Of names in the JSON of a block, which has about 1 MiB."""


class Columns(Struct, frozen=True):
    """How a row is divided. names: of columns, none = the header's, else default. quoted: may have quotes."""

    separator: str = ","
    names: tuple[str, ...] = ()
    quoted: bool = True
    default: tuple[str, ...] = ()

    def names_of(self, block: Block) -> list[str]:
        """Return the names for a block's rows; numbers where there are none."""
        header = block.header.decode()
        if names := self.names or (() if header else self.default):
            return list(names)
        if not header:
            width = block.payload.partition(b"\n")[0].count(self.separator.encode()) + 1
            return [str(number) for number in range(width)]
        return cells(header, self.separator) if self.quoted else header.split(self.separator)


def cells(line: str, separator: str) -> list[str]:
    """Divide a row of CSV. Python's parser stops at a carriage return, and at a field of 128 KiB."""
    csv.field_size_limit(max(csv.field_size_limit(), len(line)))
    return next(csv.reader([line.replace("\r", " ")], delimiter=separator, skipinitialspace=True), [])


def row_values(block: Block, columns: Columns, wanted: Sequence[RecordField]) -> list[list[str]]:
    """Return for each field its text in each row; "" where a row has none.

    A field's key is a column's name, or its number from 0.
    """
    places = {name: at for at, name in enumerate(columns.names_of(block))}
    keys = [field.keys[0] for field in wanted]
    at = [places.get(key, int(key) if key.isdecimal() else None) for key in keys]
    lines = block.payload.decode().split("\n")[:-1]
    comma = columns.separator
    rows = [cells(line, comma) if columns.quoted else line.split(comma) for line in lines]
    return [
        field.of([row[place] if place is not None and place < len(row) else "" for row in rows])
        for field, place in zip(wanted, at, strict=True)
    ]


def to_json(
    block: Block,
    names: Sequence[str],
    numbers: frozenset[str],
    separator: str,
    quote: str | None = None,
) -> Iterator[Item]:
    """Yield the block's rows as one JSON object per line; rows of another width together as one poison.

    names: of the columns, in order. numbers: the names whose values are written without quotes.
    quote: None = AWS's form, where `-` is null; else plain CSV, "" or what fields may stand in.
    """
    bad: list[str] = []
    if not names:
        detail = f"rows not readable: {block.origin.object}: nothing names their columns"
        yield Poison("rows_unreadable", detail, block.origin, block.payload)
        return
    if wide := too_wide(block, names):
        yield wide
        return
    try:
        table = _parsed(block.payload, len(names), separator, quote or "", bad)
    except pa.ArrowInvalid as error:
        detail = f"rows not readable: {block.origin.object}: {str(error).splitlines()[0]}"
        yield Poison("rows_unreadable", detail, block.origin, block.payload)
        return
    escapes = _escapes(block.payload, "" if quote else separator)
    null = _NULL if quote is None else ""
    batches = table.to_batches(_LARGEST_BATCH)
    lines = [_objects(batch.columns, names, numbers, escapes, null) for batch in batches]
    if lines:
        yield replace(block, payload=b"".join(lines), count=table.num_rows)
    if bad:
        yield wrong_width(block, len(names), bad)


def too_wide(block: Block, names: Sequence[str]) -> Poison | None:
    """Return the rows as poison when they have too many columns, or names that would be most of the JSON.

    A header of a megabyte over rows of a byte each would make terabytes of JSON.
    """
    size = sum(map(len, names)) * block.count
    if len(names) <= _MOST_COLUMNS and size <= _MOST_BYTES:
        return None
    detail = f"rows of {len(names)} columns, {size} bytes of names: {block.origin.object}: use format: raw"
    return Poison("rows_unreadable", detail, block.origin, block.payload)


def wrong_width(block: Block, width: int, rows: Sequence[str]) -> Poison:
    """Return the rows of a block that have another number of columns."""
    where = f"{block.origin.object} from record {block.origin.record}"
    detail = f"rows of another number of columns than {width}: {where}: see the rows, or use format: raw"
    return Poison("row_width", detail, block.origin, "".join(f"{row}\n" for row in rows).encode())


def _parsed(payload: bytes, width: int, separator: str, quote: str, bad: list[str]) -> Any:
    """Return the rows as a table of strings; rows of another width are put into `bad`."""

    def skip(row: Any) -> str:
        bad.append(row.text)
        return "skip"

    names = [str(number) for number in range(width)]
    if b"\r" in payload:  # it would end a row
        payload = payload.replace(b"\r", b" ")
    return pa.csv.read_csv(
        pa.py_buffer(payload),
        pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(payload) + 1),
        pa.csv.ParseOptions(delimiter=separator, quote_char=quote or False, invalid_row_handler=skip),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def _escapes(payload: bytes, separator: str) -> list[tuple[str, str]]:
    r"""Return what JSON writes otherwise of what is in the payload, the backslash first."""
    looked_for = _NOT_IN_JSON.replace(separator.encode(), b"")
    if len(payload.translate(None, looked_for)) == len(payload):
        return []
    found = sorted(set(payload.decode()) & set(looked_for.decode()), key="\\".__ne__)
    return [(char, orjson.dumps(char)[1:-1].decode()) for char in found]


def _objects(
    columns: Sequence[Any],
    names: Sequence[str],
    numbers: frozenset[str],
    escapes: list[tuple[str, str]],
    null: str,
) -> memoryview:
    """Return the rows as lines. What stands between two columns is joined once, quotes included.

    The newline is a part of each row: so the rows lie in Arrow's memory as they are sent.
    """
    parts: list[Any] = []
    between = "{"
    for name, column in zip(names, columns, strict=True):
        value, quote = _value(column, name in numbers, escapes, null)
        parts += [f"{between}{orjson.dumps(name).decode()}:{quote}", value]
        between = quote + ","
    rows = pa.compute.binary_join_element_wise(*parts, between[:-1] + "}\n", "")
    _, offsets, texts = rows.buffers()
    at = memoryview(offsets).cast("i")
    return memoryview(texts)[at[rows.offset] : at[rows.offset + len(rows)]]


def _value(column: Any, number: bool, escapes: list[tuple[str, str]], null: str) -> tuple[Any, str]:  # noqa: FBT001 - told by name
    """Return a column as JSON, and the quote to be put around every value ("" when that differs)."""
    missing = pa.compute.equal(column, null)
    any_missing = null != "" and missing.true_count > 0
    if number:
        bare = pa.compute.or_(missing, _is_number(column))
        if bare.true_count == len(column):
            return (pa.compute.if_else(missing, "null", column) if any_missing else column), ""
        quoted = _quoted(column, escapes)
        return pa.compute.if_else(missing, "null", pa.compute.if_else(bare, column, quoted)), ""
    if any_missing:
        return pa.compute.if_else(missing, "null", _quoted(column, escapes)), ""
    return _escaped(column, escapes), '"'


def _is_number(column: Any) -> Any:
    """Tell which values are JSON numbers; digits without a leading zero, the usual case, are found fast."""
    plain = pa.compute.and_not(pa.compute.ascii_is_decimal(column), pa.compute.starts_with(column, "0"))
    return plain if plain.true_count == len(column) else pa.compute.match_substring_regex(column, _NUMBER)


def _quoted(column: Any, escapes: list[tuple[str, str]]) -> Any:
    return pa.compute.binary_join_element_wise('"', _escaped(column, escapes), '"', "")


def _escaped(column: Any, escapes: list[tuple[str, str]]) -> Any:
    for raw, written in escapes:
        column = pa.compute.replace_substring(column, raw, written)
    return column
