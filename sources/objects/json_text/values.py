"""Objects of JSON values one after another: a line each, unseparated, pretty-printed, in one array.

About 1 MiB at a time is given to the parser, up to a place that looks like the border of two values; it
succeeds only if it is one. When it is none, or the text is damaged, the exact scanner finds the values one by
one (`scanner.py`), and with them what else stands between.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

import msgspec

from sources.objects.decoded_chunk import CHUNK_BYTES, DecodedChunk, broken
from sources.objects.json_text import scanner
from sources.objects.json_text.array import BETWEEN, records
from sources.objects.json_text.chunk_buffer import ChunkBuffer
from sources.objects.json_text.oversized import passed_over
from sources.objects.json_text.payloads import Raws
from sources.objects.json_text.resync import MORE, RECENT, Damage, after_value, typical, words_before
from sources.objects.json_text.resync import chunks as chunks_of
from sources.objects.json_text.row_of_values import View, like_values
from sources.objects.json_text.scanner import ScanResult
from sources.objects.lines import KEPT_BYTES, lines
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
        rest: Iterator[DecodedChunk] = other(chain([tape.data[tape.at :]], tape.rest()), layout, longest)
        return rest
    found = _raws(tape, layout.between, longest)
    return chunks_of(_unwrapped(found, layout.unwrap) if layout.unwrap else found)


def _unwrapped(parts: Iterator[Raws | Damage], unwrap: Unwrap) -> Iterator[Raws | Damage]:
    """Yield what is in the values, and what is damaged of them."""
    for part in parts:
        if isinstance(part, Damage):
            yield part
        else:
            yield from _events(part, unwrap)


def _otherwise(tape: ChunkBuffer, layout: Layout) -> Any:
    """Return what cuts an object that is not a series of values: an array of them, or lines."""
    first = tape.data[tape.at : tape.at + 1]
    if layout.or_lines and first not in (b"{", b"["):
        return lines
    if first == b"[" and layout.unwrap is None:
        return records
    array_ahead = layout.records and scanner.find_array(tape.data, layout.records.encode(), tape.at)[0] >= 0
    return records if first == b"{" and array_ahead else None


@cache
def _gap(between: bytes) -> re.Pattern[bytes]:
    """Return what may stand between two values, marks of joined files and padding with NULs too."""
    space = rb"[\s,]|\xef\xbb\xbf|\xef\xbf\xbd"
    return re.compile(rb"(?:%b%b)*+" % (space, b"|" + re.escape(between) if between else b""))


def _raws(tape: ChunkBuffer, between: bytes, longest: int) -> Iterator[Raws | Damage]:
    """Yield the values of the tape, all that are complete at once."""
    size = CHUNK_BYTES
    recent: list[bytes] = []
    while True:
        tape.fill(size)
        if tape.ended and tape.at == len(tape.data):
            break
        if raws := _window(tape):
            yield raws
            if tape.at < len(tape.data) or not tape.ended:
                recent = [*recent, *map(bytes, raws[-RECENT:])][-RECENT:]
            size = CHUNK_BYTES
            continue
        found = scanner.elements(tape.data, tape.at, _gap(between))
        tape.at = found.end - (found.state == scanner.CLOSED)
        if found.state == scanner.BROKEN:
            tape.at = words_before(tape.data, found.raws, tape.at, typical([*recent, *found.raws]))
        if found.raws:
            yield found.raws
            size, recent = CHUNK_BYTES, [*recent, *found.raws][-RECENT:]
        stuck = (tape.ended and tape.at < len(tape.data)) or (not found.raws and size > longest)
        if found.state != scanner.OPEN or stuck:
            damage = _skipped(tape, found, longest, typical(recent))
            if damage is None:
                break
            yield damage
            size = CHUNK_BYTES
        elif not found.raws:
            size = min(2 * size, longest + 1)
    _check_end(tape)


def _check_end(tape: ChunkBuffer) -> None:
    rest = len(tape.data) - tape.at
    if tape.failure or (rest and BETWEEN.match(tape.data, tape.at).end() < len(tape.data)):
        raise tape.cut_short("the last JSON value")


def _learnt(tape: ChunkBuffer, longest: int) -> bytes:
    """Return a value of those behind the first one, which is damaged; b"" = none is certain."""
    size = 2 * CHUNK_BYTES
    while (found := like_values(View(tape.data, tape.at, tape.ended, size > longest))) is None:
        size *= 2
        tape.fill(size)
    return found


def _skipped(tape: ChunkBuffer, found: ScanResult, longest: int, known: bytes) -> Damage | None:
    """Return the damaged value that the tape stands at, and move behind it; None = the object ends in it.

    Raises ObjectBroken when nothing behind it is certainly a value.
    """
    size = 2 * CHUNK_BYTES
    known = known or _learnt(tape, longest)
    lines = bool(known) and b"\n" not in known and tape.before in (b"\n", b"")
    if found.state == scanner.OPEN and not (tape.ended or lines):
        return passed_over(tape, known, longest, "a value")
    end = MORE
    while end == MORE and size <= 2 * longest:
        tape.fill(size)
        end = after_value(tape.data, tape.at, known, ended=tape.ended, lines=lines)
        size *= 2
    if end == MORE:
        of_line = lines and tape.data.find(b"\n", tape.at) < 0
        return _overlong(tape) if of_line else passed_over(tape, known, longest, "a value")
    detail = found.detail or ("a stray ]" if found.state == scanner.CLOSED else "")
    if end < 0:
        if detail or not tape.ended:
            raise broken("json_broken", f"a value is not valid JSON: {detail}")
        return None
    raw = tape.data[tape.at : end].rstrip()
    if not detail and end == len(tape.data) and tape.ended and raw[:1] in (b"{", b"["):
        return None
    damage = Damage(raw, "json_broken", f"a value is not valid JSON: {detail or 'no end'}", tape.position)
    tape.at = end
    return damage


def _overlong(tape: ChunkBuffer) -> Damage:
    """Return the beginning of a line that is too large, and move behind it; it is not held."""
    at, head = tape.position, tape.data[tape.at : tape.at + KEPT_BYTES]
    while (end := tape.data.find(b"\n", tape.at)) < 0 and not tape.ended:
        tape.at = len(tape.data)
        tape.fill(CHUNK_BYTES)
    tape.at = len(tape.data) if end < 0 else end
    return Damage(head, "record_too_large", f"a value of {tape.position - at} bytes", at)


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


def _events(raws: Raws, unwrap: Unwrap) -> Iterator[Raws | Damage]:
    """Yield the events of documents; one that lacks them is damage."""
    events: list[bytes] = []
    for raw in raws:
        document = bytes(raw)
        try:
            events += unwrap(document)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            if events:
                yield events
            yield Damage(document, "records_missing", str(error))
            events = []
    if events or not raws:
        yield events
