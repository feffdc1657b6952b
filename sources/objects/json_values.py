"""Objects of JSON values one after another: a line each, unseparated, pretty-printed, in one array.

About 1 MiB at a time is given to the parser, up to a place that looks like the border of two values; it
succeeds only if it is one. When it is none, or the text is damaged, the exact scanner finds the values one by
one (`json_scanner.py`), and with them what else stands between.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from sources.objects import json_scanner
from sources.objects.chunk_buffer import ChunkBuffer
from sources.objects.decoded_chunk import CHUNK_BYTES, DecodedChunk, broken
from sources.objects.json_array import BETWEEN, Raws, payloads, records
from sources.objects.lines import lines
from transforms.layout import Layout, Unwrap

_VALUES = msgspec.json.Decoder(msgspec.Raw)
_NO_JSON = (msgspec.DecodeError, RecursionError)
_BORDERS = (b"}\n{", b"}{", b"}\r\n{")


def values(chunks: Iterator[bytes], layout: Layout, longest: int) -> Iterator[DecodedChunk]:
    """Yield the values of an object, or what is in them, compact, one per line.

    longest: bytes of the largest value. Raises ObjectBroken after the values before the damage.
    """
    tape = ChunkBuffer(chunks)
    tape.fill(2 * CHUNK_BYTES)
    tape.at = BETWEEN.match(tape.data, 0).end()
    other = _otherwise(tape, layout)
    if other is not None:
        rest = chain([tape.data[tape.at :]], tape.rest())
        yield from other(rest, layout, longest)
        return
    done = 0
    for raws in _raws(tape, layout.between, longest):
        problem, events = _events(raws, layout.unwrap)
        for payload, count in payloads(events):
            done += count
            yield DecodedChunk(payload, count, done)
        if problem:
            raise broken("records_missing", problem)


def _otherwise(tape: ChunkBuffer, layout: Layout) -> Any:
    """Return what cuts an object that is not a series of values: an array of them, or lines."""
    first = tape.data[tape.at : tape.at + 1]
    if layout.or_lines and first not in (b"{", b"["):
        return lines
    if first == b"[" and layout.unwrap is None:
        return records
    array_ahead = (
        layout.records and json_scanner.find_array(tape.data, layout.records.encode(), tape.at)[0] >= 0
    )
    return records if first == b"{" and array_ahead else None


def _raws(tape: ChunkBuffer, between: bytes, longest: int) -> Iterator[Raws]:
    """Yield the values of the tape, all that are complete at once."""
    gap = re.compile(rb"(?:[\s,]|" + re.escape(between) + rb")*+") if between else json_scanner.SPACE
    size = CHUNK_BYTES
    while True:
        tape.fill(size)
        if tape.ended and tape.at == len(tape.data):
            break
        if raws := _window(tape):
            yield raws
            size = CHUNK_BYTES
            continue
        found = json_scanner.elements(tape.data, tape.at, gap)
        if found.raws:
            yield found.raws
            size = CHUNK_BYTES
        tape.at = found.end
        if found.state != json_scanner.OPEN:
            raise broken("json_broken", f"a value is not valid JSON: {found.detail or 'a stray ]'}")
        if tape.ended:
            break
        if not found.raws:
            if size > longest:
                raise broken("record_too_large", f"a value is too large: over {longest} bytes")
            size *= 2
    if tape.failure or BETWEEN.match(tape.data, tape.at).end() < len(tape.data):
        raise tape.cut_short("the last JSON value")


def _window(tape: ChunkBuffer) -> Raws:
    """Return the values up to the last border within about 1 MiB, or all of a short rest."""
    start, end = tape.at, min(len(tape.data), tape.at + CHUNK_BYTES)
    if not (tape.ended and end == len(tape.data)):
        found_at = (tape.data.rfind(border, start, end) for border in _BORDERS)
        end = next((at for at in found_at if at >= 0), -1) + 1
    if end <= start:
        return []
    try:
        found = _VALUES.decode_lines(memoryview(tape.data)[start:end])
    except _NO_JSON:
        return []
    tape.at = end
    return found


def _events(raws: Raws, unwrap: Unwrap | None) -> tuple[str, Raws]:
    """Return what is wrong with one of the values ("" = nothing), and the events of those before it."""
    if unwrap is None:
        return "", raws
    events: list[bytes] = []
    for raw in raws:
        try:
            inner: Sequence[bytes] = unwrap(bytes(raw))
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            return str(error), events
        events += inner
    return "", events
