"""Additions to events that are one JSON object per line, made on the bytes."""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from transforms.block import Block, Item


def add_fields(payload: bytes, fields: Mapping[str, object]) -> bytes:
    """Put fields at the beginning of each line's object: `{"a":1}` → `{"@devo_environment":"x","a":1}`.

    payload: lines, each a compact JSON object. No fields: the same bytes.
    """
    if not fields or not payload:
        return payload
    added = orjson.dumps(dict(fields))[:-1] + b","
    out = added + payload[1:].replace(b"\n{", b"\n" + added)
    return out if b",}" not in out else out.replace(added + b"}", added[:-1] + b"}")


def with_fields(item: Item, fields: Mapping[str, object]) -> Item:
    """Return a block with fields put into each of its objects; poison as it is."""
    return replace(item, payload=add_fields(item.payload, fields)) if isinstance(item, Block) else item
