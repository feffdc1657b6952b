"""Values for tags, filters and events: taken out of an object's key, or out of each JSON event. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct

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


class Match(Protocol):
    """What a regular expression has found."""

    def groupdict(self) -> Mapping[str, str | None]:
        """Return the named groups."""


def key_fields(
    definitions: Mapping[str, Sequence[Operation]],
    search: Callable[[str], Match | None] = lambda _key: None,
) -> KeyFields:
    """Return what takes values out of keys: by operations on the key, and by the named groups of a search."""

    @lru_cache(maxsize=_KEYS_KNOWN)
    def run(key: str) -> Mapping[str, str]:
        found = search(key)
        named = {name: text or "" for name, text in found.groupdict().items()} if found else {}
        return {**named, **{name: applied(key, steps) for name, steps in definitions.items()}}

    return run


class RecordField(Struct, frozen=True):
    """A value in each JSON event. keys: the way to it. operations: what is done to its text."""

    name: str
    keys: tuple[str, ...]
    operations: tuple[Operation, ...] = ()

    def of(self, tops: Sequence[object]) -> list[str]:
        """Return the value's text in each event; tops: what stands under the first key. "" for none."""
        inner = tops if len(self.keys) == 1 else [_below(top, self.keys[1:]) for top in tops]
        texts = [value if type(value) is str else _text(value) for value in inner]
        if not self.operations:
            return texts
        made = {text: applied(text, self.operations) for text in set(texts)}
        return [made[text] for text in texts]


def record_values(payload: bytes, count: int, wanted: Sequence[RecordField]) -> list[list[str]]:
    """Return for each field its text in each line; "" where a line has none, or is no JSON object.

    Only the keys that are wanted are decoded.
    """
    tops = tuple(dict.fromkeys(field.keys[0] for field in wanted))
    columns = dict(zip(tops, _columns(payload, count, tops), strict=True))
    return [field.of(columns[field.keys[0]]) for field in wanted]


def _columns(payload: bytes, count: int, tops: tuple[str, ...]) -> list[list[object]]:
    """Return what stands under each top-level key, line by line."""
    decoder, names = _decoder(tops)
    try:
        heads = decoder.decode_lines(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        heads = []
    if len(heads) == count:
        return [list(map(attrgetter(name), heads)) for name in names]
    rows = [_head(line, tops) for line in BytesIO(payload)]
    return [list(column) for column in zip(*rows, strict=True)]


def _head(line: bytes, tops: tuple[str, ...]) -> list[object]:
    """Read one line with a parser that allows more than the strict one, surrogates made fit."""
    try:
        found = json.loads(line, strict=False)
    except (ValueError, RecursionError):
        found = None
    return [_fit(found.get(key)) if isinstance(found, dict) else None for key in tops]


def _fit(value: object) -> object:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _below(value: object, keys: Sequence[str]) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return _fit(value)


@lru_cache(maxsize=64)
def _decoder(tops: tuple[str, ...]) -> "tuple[msgspec.json.Decoder[Any], list[str]]":
    names = [f"f{number}" for number in range(len(tops))]
    head = msgspec.defstruct(
        "Head",
        [(name, Any, None) for name in names],
        rename=dict(zip(names, tops, strict=True)),
    )
    return msgspec.json.Decoder(head), names


def _text(value: object) -> str:
    return "" if value is None else json.dumps(value)
