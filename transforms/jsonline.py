"""Additions to events that are one JSON object per line, made on the bytes."""

from collections.abc import Mapping
from io import BytesIO

import orjson


def add_fields(payload: bytes, fields: Mapping[str, object]) -> bytes:
    """Put fields at the beginning of each line's object: `{"a":1}` → `{"@devo_environment":"x","a":1}`.

    payload: lines, compact JSON; those that are no objects stay as they are. No fields: the same bytes.
    """
    if not fields:
        return payload
    alone = orjson.dumps(dict(fields))
    begin = alone[:-1] + b","

    def put(line: bytes) -> bytes:
        if line.startswith(b"{}"):
            return alone + line[2:]
        return begin + line[1:] if line.startswith(b"{") else line

    return b"".join(map(put, BytesIO(payload)))
