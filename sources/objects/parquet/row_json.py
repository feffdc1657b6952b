"""Arrow columns as JSON texts: typed, nested as they are, made in Arrow's kernels without an object per row.

null, numbers, booleans, structs, lists and maps are JSON's own; times are ISO 8601, in UTC where they have a
zone, and the number that was stored where no calendar reaches; bytes are text where they are UTF-8, else
base64. What is no JSON number (NaN, infinite) is null.
"""

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from transforms import arrow as pa

_NOT_IN_JSON = bytes({*range(0x20), *b'"\\'})


def objects(columns: Sequence[Any], names: Sequence[str]) -> Any:
    """Return one JSON object per row, as an Arrow array of texts without nulls."""
    parts: list[Any] = []
    between = "{"
    for name, column in zip(names, columns, strict=True):
        parts += [f"{between}{orjson.dumps(name).decode()}:", texts(column)]
        between = ","
    return pa.compute.binary_join_element_wise(*parts, "}", "")


def texts(column: Any) -> Any:
    """Return a column's values as an Arrow array of JSON texts, null being `null`."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    made = _made(column)
    if column.null_count:
        made = pa.compute.if_else(pa.compute.is_valid(column), made, "null")
    return pa.compute.fill_null(made, "null") if made.null_count else made


def _made(column: Any) -> Any:
    """Return JSON texts of a column; what stands at nulls does not matter."""
    kind, of = column.type, pa.types
    if of.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if of.is_integer(kind) or of.is_boolean(kind) or of.is_decimal(kind):
        return column.cast(pa.string())
    if of.is_floating(kind):
        column = column.cast(pa.float32()) if of.is_float16(kind) else column
        return pa.compute.if_else(pa.compute.is_finite(column), column.cast(pa.string()), "null")
    return _nested(column) if of.is_nested(kind) else _quoted(_text(column))


def _nested(column: Any) -> Any:
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        return objects(column.flatten(), names) if names else pa.repeat("{}", len(column))
    return _maps(column) if pa.types.is_map(column.type) else _lists(column)


def _text(column: Any) -> Any:
    kind, of = column.type, pa.types
    if of.is_timestamp(kind):
        return pa.compute.replace_substring(instants(column), " ", "T", max_replacements=1)
    if of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind):
        return _bytes(column.cast(pa.binary()))
    return _within_calendars(column.cast(pa.string())) if of.is_temporal(kind) else column.cast(pa.string())


def instants(column: Any) -> Any:
    """Return times as Arrow writes them, `2026-01-02 03:04:05Z`: in UTC where they have a zone."""
    if column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return _within_calendars(column.cast(pa.string()))


def _within_calendars(column: Any) -> Any:
    return pa.compute.replace_substring_regex(column, r"^<value out of range: (-?\d+)>$", r"\1")


def _bytes(column: Any) -> Any:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if one is None else _utf8(one) for one in column.to_pylist()], pa.string())


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _quoted(column: Any) -> Any:
    """Return texts as JSON strings; one by one where JSON writes characters of theirs otherwise."""
    try:
        return pa.compute.binary_join_element_wise('"', _plain(column), '"', "")
    except ValueError:
        values = column.cast(pa.binary()).to_pylist()
        return pa.array(
            [None if one is None else orjson.dumps(one.decode(errors="replace")).decode() for one in values],
            pa.string(),
        )


def _plain(column: Any) -> Any:
    """Return the column when it holds nothing but what JSON writes as it is. Raises ValueError else."""
    _, offsets, data = column.buffers()
    if not len(column) or data is None:
        return column
    at = memoryview(offsets).cast("i")
    held = bytes(memoryview(data)[at[column.offset] : at[column.offset + len(column)]])
    if len(held.translate(None, _NOT_IN_JSON)) != len(held):
        raise ValueError("characters to be escaped")
    held.decode()
    return column


def _lists(column: Any) -> Any:
    lengths = pa.compute.fill_null(pa.compute.list_value_length(column), 0)
    joined = _joined(texts(pa.compute.list_flatten(column)), lengths)
    return pa.compute.binary_join_element_wise("[", joined, "]", "")


def _maps(column: Any) -> Any:
    offsets = column.offsets
    first, last = offsets[0].as_py(), offsets[len(offsets) - 1].as_py()
    keys, items = (part.slice(first, last - first) for part in (column.keys, column.items))
    named = texts(keys)
    kind = keys.type.value_type if pa.types.is_dictionary(keys.type) else keys.type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        named = _quoted(named)
    pairs = pa.compute.binary_join_element_wise(named, texts(items), ":")
    lengths = pa.compute.subtract(offsets[1:], offsets[:-1])
    return pa.compute.binary_join_element_wise("{", _joined(pairs, lengths), "}", "")


def _joined(elements: Any, lengths: Any) -> Any:
    """Return the elements of each list as one text, a comma between two."""
    ends = pa.compute.cumulative_sum(lengths.cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.compute.binary_join(pa.ListArray.from_arrays(offsets, elements), ",")
