"""Additions to events that are one JSON object per line, made on the bytes."""

from collections.abc import Mapping

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
        if line.startswith(b"{"):
            return alone if line == b"{}" else begin + line[1:]
        return line

    return b"\n".join(map(put, payload.split(b"\n")))
