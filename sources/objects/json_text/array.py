"""Objects whose events are the elements of a JSON array (CloudTrail's `Records`), cut without touching them.

A small document is parsed as a whole, a large one window by window: the text up to a place that looks like
the border of two records is parsed as an array of its own, which succeeds only if it is that border. When no
place fits, or the document is damaged, an exact scanner finds the records one by one (`scanner.py`).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import CHUNK_BYTES, DecodedChunk, broken
from sources.objects.json_text import scanner
from sources.objects.json_text.chunk_buffer import ChunkBuffer
from sources.objects.json_text.oversized import begun, passed_over
from sources.objects.json_text.payloads import Raws
from sources.objects.json_text.resync import (
    MORE,
    NOWHERE,
    RECENT,
    Damage,
    after_record,
    first_key,
    stray_bracket,
    typical,
    words_before,
)
from sources.objects.json_text.resync import chunks as chunks_of
from sources.objects.json_text.row_of_values import View, like_records
from sources.objects.lines import MOST_LENGTHS
from transforms.layout import Layout

_SMALL = 2 * CHUNK_BYTES
_LONGEST_BORDER, _LEAST_SPAN = 4 << 10, 1 << 10
BETWEEN: Any = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf|\xef\xbf\xbd)*+")
"""White space, byte order marks, and what becomes of padding with NULs."""
_IN_LIST: Any = re.compile(rb"(?:[ \t\r\n,\]]|\xef\xbb\xbf|\xef\xbf\xbd)*+")
_LIST = re.compile(rb"\[\s*+(?=\{)")
_NO_JSON = (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError)
_SINGLE = (
    ("eventVersion", "eventName"),
    ("eventVersion", "eventType"),
    ("configurationItemVersion", "configurationItemStatus"),
    ("eventData",),
)
"""Keys of records that may stand without their array: CloudTrail's, Insights, Config's, CloudTrail Lake's."""
_DIGEST = ("digestStartTime", "digestS3Bucket", "logFiles")

_BRACKET = ord("[")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_FIRST_KEY = re.compile(rb'\s*\{\s*("[^"\\]*")')
_LEAD: Any = re.compile(rb"[\s,]*+")


def records(chunks: Iterator[bytes], layout: Layout, longest: int) -> Iterator[DecodedChunk]:
    """Yield the records of an object's documents (one, as a rule), compact, one per line.

    longest: bytes of the largest record, and of what stands before the array. Raises ObjectBroken after the
    records before the damage.
    """
    return chunks_of(_parts(ChunkBuffer(chunks), layout, longest))


def _parts(tape: ChunkBuffer, layout: Layout, longest: int) -> Iterator[Raws | Damage]:
    seen = _Seen(b'"%s"' % layout.records.encode(), *_forms(layout.records))
    between = BETWEEN
    while True:
        tape.fill(_SMALL)
        gap = between.match(tape.data, tape.at)
        tape.at, between = gap.end(), BETWEEN if b"]" in gap[0] else between
        if tape.at == len(tape.data):
            if tape.ended:
                break
            continue
        if first := _first_of_list(tape, layout):
            tape.at, between = first, _IN_LIST
        whole = _whole(_from(tape.data, tape.at), layout) if tape.ended else None
        listed = tape.data[tape.at] == _BRACKET
        if whole is not None and (listed or not _is_twice(_from(tape.data, tape.at), seen.key, whole)):
            yield from _opened(whole, layout, seen) if listed else [whole]
            break
        yield from _document(tape, layout, longest, seen)
    if tape.failure or between is _IN_LIST:
        raise tape.cut_short("the list of documents")


def _first_of_list(tape: ChunkBuffer, layout: Layout) -> int:
    """Return where the first document begins when the tape stands at an array of documents, else 0."""
    found = _LIST.match(tape.data, tape.at)
    key = layout.records.encode()
    return found.end() if found and key and scanner.find_array(tape.data, key, found.end())[0] >= 0 else 0


def _is_twice(document: bytes | memoryview | msgspec.Raw, key: bytes, found: Raws) -> bool:
    """Tell a document with two arrays, of which msgspec finds the last: the key is not in records alone."""
    count = bytes(document).count(key)
    return count > 1 and count - b"".join(found).count(key) > 1


def _opened(raws: Raws, layout: Layout, seen: "_Seen") -> Iterator[Raws | Damage]:
    """Yield elements of an array that is no document's; of those that are documents, the records."""
    if seen.braced or not layout.records or seen.key not in b"".join(raws):
        yield raws
        return
    for raw in raws:
        found = _whole(bytes(raw), layout) if seen.opening.match(raw) else [raw]
        if found is None or _is_twice(raw, seen.key, found):
            yield Damage(bytes(raw), "json_broken", f"a document has {seen.key.decode()} twice")
        else:
            yield found


class _Seen(Struct):
    """What an object's records are like. border: what stands between two. recent: the last good ones.

    key: of their array, in quotes. opening: matches a document that begins with it, behind commas. unclosed:
    one behind a record, of an array that lacks its bracket. between: what else may stand between records.
    braced: their array is within an object.
    looked: up to where no border stands, in bytes of the text.
    span: bytes that are parsed at once; less after arrays that were shorter, as Firehose joins them.
    """

    key: bytes
    opening: Any
    unclosed: Any
    between: Any
    border: bytes = b""
    looked: int = 0
    span: int = CHUNK_BYTES
    recent: list[bytes] = field(default_factory=list)
    braced: bool = False


def _document(tape: ChunkBuffer, layout: Layout, longest: int, seen: _Seen) -> Iterator[Raws | Damage]:
    first = tape.data[tape.at : tape.at + 1]
    if first not in b"{[" and (text := _between(tape, seen)) is not None:
        if text:
            yield Damage(text, "json_broken", "what stands between documents is no JSON", tape.position)
        tape.at = seen.opening.match(tape.data, tape.at + len(text)).end()
        return
    if seen.border and first not in b"{[":  # the array before it was closed within a record
        damage = _skipped(tape, seen, "", longest)
        if damage:
            yield damage
            yield from _records(tape, layout, longest, seen)
            return
    seen.braced = first == b"{"
    start, end = _enter(
        tape, layout.records.encode(), longest, "what follows" if seen.recent else "the object"
    )
    if start < 0:
        document, at = tape.data[tape.at : end], tape.position
        tape.at = end
        try:
            events = _whole(document, layout)
        except ObjectBroken as error:
            yield Damage(document, error.reason, error.what, at)
            return
        if events is None:
            raise broken("json_broken", "the document is not valid JSON")
        yield events
        return
    tape.at = start
    yield from _records(tape, layout, longest, seen)


def _between(tape: ChunkBuffer, seen: _Seen) -> bytes | None:
    """Return what stands before a document that begins here or on a line; None = no document does."""
    if seen.opening.match(tape.data, tape.at):
        return b""
    line = re.compile(rb"\n(?=%b)" % seen.opening.pattern).search(tape.data, tape.at)
    border = tape.data.find(seen.border, tape.at, line.start()) if line and seen.border else -1
    return tape.data[tape.at : line.start()] if line and border < 0 else None


def _records(tape: ChunkBuffer, layout: Layout, longest: int, seen: _Seen) -> Iterator[Raws | Damage]:
    yield from _array(tape, layout, longest, seen)
    if seen.braced and (missing := _leave(tape, longest, seen)):
        yield missing


def _enter(tape: ChunkBuffer, key: bytes, longest: int, what: str) -> tuple[int, int]:
    """Return where the array's first element is, or -1 and where the document without one ends."""
    size = _SMALL
    while True:
        if tape.data[tape.at] not in b"{[":
            raise broken("not_json", f"{what} is neither JSON nor compressed JSON")
        start, end = scanner.find_array(tape.data, key, tape.at)
        if start >= 0 or end >= 0:
            return start, end
        if tape.ended:
            raise tape.cut_short("the JSON document")
        if size > longest:
            raise broken(
                "record_too_large", f"what stands before the records is too large: over {longest} bytes"
            )
        size *= 2
        tape.fill(size)


def _leave(tape: ChunkBuffer, longest: int, seen: _Seen) -> Damage | None:
    """Move past the rest of the document after its array, or tell that another one begins instead."""
    end = scanner.end_of(tape.data, tape.at, depth=1)
    if seen.key in tape.data[tape.at : end if end >= 0 else len(tape.data)]:
        if seen.opening.match(tape.data, tape.at):
            return Damage(b"]", "json_broken", "a document ends before its last bracket", tape.position - 1)
        raise broken(
            "json_broken", f"a document has {seen.key.decode()} twice: what stands behind the first is left"
        )
    if end >= 0:  # as a rule it is all there, and short
        tape.at = end
        return None
    passing = begun(b"{")
    if not passing.behind(tape, MOST_LENGTHS * longest):
        if tape.ended and not passing.damaged:
            raise tape.cut_short("the JSON document")
        raise broken("json_broken", "what stands after the records is no JSON, or too large")
    return None


def _array(tape: ChunkBuffer, layout: Layout, longest: int, seen: _Seen) -> Iterator[Raws | Damage]:
    """Yield the elements of the array that the tape stands in; leave it after the closing bracket."""
    size = _SMALL
    while True:
        tape.fill(size)
        seen.border = seen.border or _border(tape, seen)
        raws, end = _window(tape, seen)
        if raws:
            yield raws
            seen.recent = [*seen.recent, *map(bytes, raws[-RECENT:])][-RECENT:]
            tape.at, size = end, CHUNK_BYTES
            continue
        found = scanner.elements(tape.data, tape.at, seen.between if seen.braced else scanner.SPACE)
        tape.at = found.end
        if found.state == scanner.BROKEN:
            tape.at = words_before(tape.data, found.raws, tape.at, typical([*seen.recent, *found.raws]))
        if found.raws:
            yield from _opened(found.raws, layout, seen)
            size, seen.recent = CHUNK_BYTES, [*seen.recent, *found.raws][-RECENT:]
        closed = found.state == scanner.CLOSED
        if closed or (seen.braced and seen.unclosed.match(tape.data, tape.at)):
            stray = stray_bracket(tape.data, tape.at, typical(seen.recent)) if closed else None
            if stray is None:
                return
            yield Damage(b"]", "json_broken", "a stray ] between records", tape.position - 1)
            tape.at = stray
        elif found.state == scanner.BROKEN or tape.ended or (not found.raws and size > longest):
            damage = _skipped(tape, seen, found.detail, longest)
            if damage is None:
                raise tape.cut_short("the array of records")
            yield damage
            size = _SMALL
        elif not found.raws:
            size = min(2 * size, longest + 1)


def _learnt(tape: ChunkBuffer, longest: int, *, braced: bool) -> bytes:
    """Return a record of those behind the first one, which is damaged; b"" = none is certain."""
    size = _SMALL
    while (
        found := like_records(View(tape.data, tape.at, tape.ended, size > longest), braced=braced)
    ) is None:
        size *= 2
        tape.fill(size)
    return found


def _skipped(tape: ChunkBuffer, seen: _Seen, detail: str, longest: int) -> Damage | None:
    """Return the damaged record that the tape stands at, and move to the next; None = the object ends in it.

    Raises ObjectBroken when no record behind it is certain.
    """
    size = _SMALL
    border, known = seen.border, typical(seen.recent)
    if not (border or known):
        known = _learnt(tape, longest, braced=seen.braced)
    border = border or first_key(known)
    far = not (detail or tape.ended)
    while not far and (end := after_record(tape.data, tape.at, border, known, ended=tape.ended)) == MORE:
        far, size = size > longest, 2 * size
        tape.fill(min(size, longest + 1))
    if far:
        known = known or _learnt(tape, longest, braced=seen.braced)
        return passed_over(tape, known, longest, "a record")
    if end == NOWHERE:
        if not detail:
            return None
        raise broken("json_broken", f"a record is not valid JSON: {detail}")
    what = f"a record is not valid JSON: {detail or 'it has no end'}"
    found = Damage(tape.data[tape.at : end].rstrip(b", \t\r\n"), "json_broken", what, tape.position)
    tape.at = end
    return found


def _border(tape: ChunkBuffer, seen: _Seen) -> bytes:
    """Return what stands between two records, as seen at the first of them: `},{"eventVersion"`."""
    key = _FIRST_KEY.match(tape.data, tape.at)
    start = max(key.end(), seen.looked - tape.position + tape.at) if key else 0
    between = key and re.compile(rb"\}\s*,\s*\{\s*" + re.escape(key[1])).search(tape.data, start)
    if key and not between:
        seen.looked = tape.position - tape.at + len(tape.data) - _LONGEST_BORDER
    return between[0] if between else b""


def _window(tape: ChunkBuffer, seen: _Seen) -> tuple[Raws, int]:
    """Return the records up to the last border within about 1 MiB, and where they end."""
    end = tape.data.rfind(seen.border, tape.at, tape.at + seen.span) + 1 if seen.border else 0
    if not end:
        return [], 0
    start = _LEAD.match(tape.data, tape.at).end()
    try:
        raws = _ARRAY.decode(b"".join([b"[", memoryview(tape.data)[start:end], b"]"]))
    except _NO_JSON:
        seen.span = max(seen.span // 4, _LEAST_SPAN)
        return [], 0
    seen.span = min(seen.span * 4, CHUNK_BYTES)
    return raws, end


def _from(data: bytes, at: int) -> bytes | memoryview:
    return memoryview(data)[at:] if at else data


def _whole(document: bytes | memoryview, layout: Layout) -> Raws | None:
    """Return the events of a complete document, or None when it cannot be parsed at once."""
    try:
        if document[0] == _BRACKET:
            return _ARRAY.decode(document)
        found = _document_type(layout.records).decode(document)
        if found.records is not msgspec.UNSET:
            return found.records or []
        keys = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except _NO_JSON as error:
        if isinstance(error, msgspec.ValidationError) and _is_object(document):
            raise broken("records_missing", f"{layout.records} of the document is no array") from error
        return None
    return _without_array(keys, bytes(document), layout)


def _is_object(document: bytes | memoryview) -> bool:
    try:
        msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except _NO_JSON:
        return False
    return True


def _without_array(keys: dict[str, Any], document: bytes, layout: Layout) -> Raws:
    """Return the events of a document that has no array: a single record, a digest, or nothing."""
    if any(all(key in keys for key in known) for known in _SINGLE):
        return [document.strip()]
    if any(key in keys for key in _DIGEST):
        return [document.strip()] if layout.digests else []
    if keys:
        has = ", ".join(sorted(keys)[:5])
        raise broken("records_missing", f"the document has no {layout.records}, but {has}")
    return []


@lru_cache
def _forms(key: str) -> tuple[Any, Any, Any]:
    """Return `opening`, `unclosed` and `between` of `_Seen`."""
    document = rb'(?=\{\s*+"%b"\s*+:\s*+\[)' % re.escape(key.encode())
    unclosed = rb"(?<![\[,\s])[\r\n]++%b" % document
    between = rb"(?!%b)%b" % (unclosed, scanner.SPACE.pattern)
    return re.compile(rb"[\r\n,]*+" + document), re.compile(unclosed), re.compile(between)


@lru_cache
def _document_type(key: str) -> "msgspec.json.Decoder[Any]":
    field = ("records", list[msgspec.Raw] | None | msgspec.UnsetType, msgspec.UNSET)
    return msgspec.json.Decoder(msgspec.defstruct("Document", [field], rename={"records": key}))
