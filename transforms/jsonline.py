"""Additions to events that are one JSON object per line, made on the bytes."""

import re
from collections.abc import Mapping

import orjson

_EMPTY = re.compile(rb"^\{(.*),\}$", re.MULTILINE)


def add_fields(payload: bytes, fields: Mapping[str, object]) -> bytes:
    """Put fields at the beginning of each line's object: `{"a":1}` → `{"@devo_environment":"x","a":1}`.

    payload: lines, each a compact JSON object. No fields: the same bytes.
    """
    if not fields or not payload:
        return payload
    added = orjson.dumps(dict(fields))[:-1] + b","
    out = added + payload[1:].replace(b"\n{", b"\n" + added)
    return out if b",}" not in out else out.replace(added + b"}", added[:-1] + b"}")
