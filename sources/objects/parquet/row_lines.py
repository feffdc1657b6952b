"""Rows as the lines that the text form of the same log has: columns joined, null and "" as `-`.

Made in Arrow's kernels: no Python object per row or value (except where a value holds what a line cannot).
"""

from typing import Any

from sources.objects.parquet.row_json import instants, texts
from sources.objects.text_repair import repaired
from transforms import arrow as pa


def lines_of(batch: Any, separator: str) -> bytes:
    """Return the rows of a record batch as newline-terminated lines of joined columns."""
    columns = [_filled(column) for column in batch.columns]
    try:
        return repaired(_written(columns, separator))
    except pa.ArrowException:  # a quote, separator or newline within a value, or a type that CSV has not
        return repaired(_joined([_one_line(column) for column in columns], separator))


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
        made = texts(column)
        return pa.compute.if_else(pa.compute.is_valid(column), made, pa.scalar(None, pa.string()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
        return pa.compute.cast(column, options=pa.compute.CastOptions(pa.string(), allow_invalid_utf8=True))
    if pa.types.is_timestamp(kind):
        return instants(column)
    return column.cast(pa.string())


def _written(columns: list[Any], separator: str) -> bytes:
    """Return rows by way of Arrow's CSV writer, which refuses what would need quotes."""
    batch = pa.RecordBatch.from_arrays(columns, list(map(str, range(len(columns)))))
    options = pa.csv.WriteOptions(include_header=False, delimiter=separator, quoting_style="none")
    out = pa.BufferOutputStream()
    pa.csv.write_csv(batch, out, options)
    return bytes(out.getvalue().to_pybytes())


def _one_line(column: Any) -> Any:
    return pa.compute.replace_substring_regex(column.cast(pa.string()), r"[\r\n]+", " ")


def _joined(columns: list[Any], separator: str) -> bytes:
    joined = pa.compute.binary_join_element_wise(*columns, separator).cast(pa.binary())
    return b"".join([row + b"\n" for row in joined.to_pylist()])
