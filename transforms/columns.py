"""Rows of text as JSON objects, column by column: Arrow does the work, no Python per row."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from transforms.block import Block, Poison

_LARGE = pa.large_string()
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'))
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f]")
NULL = "-"


def to_json(
    block: Block, names: Sequence[str], numbers: frozenset[str], separator: str
) -> Iterator[Block | Poison]:
    """Yield the block's rows as one JSON object per line, and each row of another width as a poison.

    names: of the columns, in order. numbers: those whose values are written without quotes. `-` is null.
    """
    bad: list[tuple[int, str]] = []

    def on_bad(row: csv.InvalidRow) -> str:
        bad.append((row.actual_columns, row.text))
        return "skip"

    payload = _CONTROL.sub(b" ", block.payload) if _CONTROL.search(block.payload) else block.payload
    table = csv.read_csv(
        pa.py_buffer(payload),
        read_options=csv.ReadOptions(use_threads=False, column_names=[str(i) for i in range(len(names))]),
        parse_options=csv.ParseOptions(
            delimiter=separator, quote_char=False, double_quote=False, invalid_row_handler=on_bad
        ),
        convert_options=csv.ConvertOptions(
            column_types={str(i): pa.string() for i in range(len(names))}, strings_can_be_null=False
        ),
    )
    if table.num_rows:
        lines = [_objects(batch, names, numbers) for batch in table.to_batches()]
        yield Block(b"".join(lines), table.num_rows, block.origin, block.tag, block.header)
    for columns, text in bad:
        detail = f"row of {columns} columns, not {len(names)}: {block.origin.object}: see its bytes"
        yield Poison("row_width", detail, block.origin, text.encode())


def _objects(batch: pa.RecordBatch, names: Sequence[str], numbers: frozenset[str]) -> bytes:
    parts: list[pa.Array | pa.Scalar] = []
    for position, (name, column) in enumerate(zip(names, batch.columns, strict=True)):
        parts.append(_text(("{" if position == 0 else ",") + f'"{name}":'))
        parts.append(_value(column, bare=name in numbers))
    joined = pc.binary_join_element_wise(*parts, _text("}\n"), _text(""))
    return _bytes(joined)


def _value(column: pa.Array, *, bare: bool) -> pa.Array:
    missing = pc.equal(column, NULL)
    if bare:
        plain = pc.match_substring_regex(column, r"^(0|-?[1-9][0-9]*)(\.[0-9]+)?$|^0\.[0-9]+$|^-$")
        if pc.all(plain).as_py():
            return pc.if_else(missing, "null", column).cast(_LARGE)
    for raw, escaped in _ESCAPES:
        if pc.any(pc.match_substring(column, raw)).as_py():
            column = pc.replace_substring(column, raw, escaped)
    quoted = pc.binary_join_element_wise(_text('"'), column.cast(_LARGE), _text('"'), _text(""))
    return pc.if_else(missing, _text("null"), quoted)


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, _LARGE)


def _bytes(strings: pa.Array) -> bytes:
    """Return the values of a large_string array one after another: its value buffer, as it lies."""
    _, offsets, data = strings.buffers()
    ends = pa.Array.from_buffers(pa.int64(), len(strings) + 1, [None, offsets], offset=strings.offset)
    start, end = ends[0].as_py(), ends[len(strings)].as_py()
    return bytes(memoryview(data)[start:end])
