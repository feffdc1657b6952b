"""Values for tags, filters and events: taken out of an object's key, or out of each JSON event. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

Operation: TypeAlias = Callable[[str], str]
KeyFields: TypeAlias = Callable[[str], Mapping[str, str]]
"""An object's key → the values in it, by name."""

_KEYS_KNOWN = 4096


def split(on: str, element: int) -> Operation:
    """Return what keeps one part of a text, counted from 0, or from the end with -1; "" if it has fewer."""

    def run(text: str) -> str:
        parts = text.split(on)
        return parts[element] if -len(parts) <= element < len(parts) else ""

    return run


def replaced(old: str, new: str) -> Operation:
    """Return what replaces each `old` by `new`."""
    return lambda text: text.replace(old, new)


def applied(text: str, operations: Iterable[Operation]) -> str:
    """Return a text after all operations, in their order."""
    for operation in operations:
        text = operation(text)
    return text


def key_fields(
    definitions: Mapping[str, Sequence[Operation]],
    pattern: re.Pattern[str] | None = None,
    search: Callable[[re.Pattern[str], str], re.Match[str] | None] = re.Pattern.search,
) -> KeyFields:
    """Return what takes values out of keys: by operations on the key, and by a pattern's named groups."""

    @lru_cache(maxsize=_KEYS_KNOWN)
    def run(key: str) -> Mapping[str, str]:
        found = search(pattern, key) if pattern else None
        named = {name: text or "" for name, text in found.groupdict().items()} if found else {}
        return {**named, **{name: applied(key, steps) for name, steps in definitions.items()}}

    return run


@dataclass(frozen=True, slots=True)
class RecordField:
    """A value in each JSON event. keys: the way to it. operations: what is done to its text."""

    name: str
    keys: tuple[str, ...]
    operations: tuple[Operation, ...] = ()

    def of(self, top: Any) -> str:
        """Return the value's text; top: what stands under the first key. "" when there is none."""
        value = top
        for key in self.keys[1:]:
            value = value.get(key) if isinstance(value, dict) else None
        return applied(_text(value), self.operations)


def record_values(payload: bytes, count: int, wanted: Sequence[RecordField]) -> list[list[str]]:
    """Return for each field its text in each line; "" where a line has none, or is no JSON object.

    Only the keys that are wanted are decoded.
    """
    tops = tuple(dict.fromkeys(field.keys[0] for field in wanted))
    numbers = [tops.index(field.keys[0]) for field in wanted]
    heads = _heads(payload, count, tops)
    return [[field.of(head[number]) for head in heads] for field, number in zip(wanted, numbers, strict=True)]


def _heads(payload: bytes, count: int, tops: tuple[str, ...]) -> list[list[Any]]:
    decoder, names = _decoder(tops)
    try:
        heads = decoder.decode_lines(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        heads = []
    if len(heads) == count:
        return [[getattr(head, name) for name in names] for head in heads]
    return [_head(line, tops) for line in payload.split(b"\n")[:-1]]


def _head(line: bytes, tops: tuple[str, ...]) -> list[Any]:
    try:
        found = json.loads(line, strict=False)
    except (ValueError, RecursionError):
        found = None
    return [found.get(key) if isinstance(found, dict) else None for key in tops]


@lru_cache(maxsize=64)
def _decoder(tops: tuple[str, ...]) -> "tuple[msgspec.json.Decoder[Any], list[str]]":
    names = [f"f{number}" for number in range(len(tops))]
    head = msgspec.defstruct(
        "Head",
        [(name, Any, None) for name in names],
        rename=dict(zip(names, tops, strict=True)),
    )
    return msgspec.json.Decoder(head), names


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return json.dumps(value)
