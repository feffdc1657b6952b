"""Where reading goes on behind a JSON value that is damaged: only where a value certainly begins.

Guessing would send the inside of a value as an event. What is certain: behind a value whose brackets close;
the next line, where values are lines; in an array, a record with the keys of those before. Nothing is skipped
but what is damaged; where no place is certain, the object ends there.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from sources.objects.decoded_chunk import DecodedChunk, broken
from sources.objects.json_text import scanner
from sources.objects.json_text.payloads import Raws, payloads

MORE: Final = -1
NOWHERE: Final = -2

RECENT: Final = 3
"""Good values that are remembered, to know their like by."""

_MOST, _MOST_AT_FIRST = 1000, 20
_LOOKED_AT, _LEAST_TRIED = 32 << 20, 16
"""Bytes that are looked through for one damage, about, and places at least."""

_FIRST_KEY: re.Pattern[bytes] = re.compile(rb'\s*\{\s*("[^"\\]*")')
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECT = rb"(?=\{\s*%b\s*:)"
_AFTER_VALUE: re.Pattern[bytes] = re.compile(rb"[ \t\r,]*+")
_CLOSING: Final = {b"{": b"}", b"[": b"]"}
_AFTER_RECORD: re.Pattern[bytes] = re.compile(rb"\s*+[,\]]")


class Damage(Struct, frozen=True):
    """One damaged value. raw: its bytes. at: where it begins in the text, in bytes; -1 = not known."""

    raw: bytes
    reason: str
    what: str
    at: int = -1


def chunks(parts: "Iterator[Raws | Damage]") -> Iterator[DecodedChunk]:
    """Yield the chunks of values and damages, each of which counts as one record.

    Raises ObjectBroken when nothing is good, or too much is damaged: then the object is of another kind.
    """
    done, damages, good = 0, 0, False
    waiting: list[Damage] = []
    for part in parts:
        if isinstance(part, Damage):
            damages += 1
            waiting.append(part)
            if damages > _MOST or (not good and damages > _MOST_AT_FIRST):
                raise broken(part.reason, f"{damages} values are damaged, the last: {part.what}")
        else:
            good = True
        if good and waiting:
            for number, one in enumerate(waiting, done + 1):
                yield DecodedChunk(one.raw, 1, number, reason=one.reason, detail=_told(one))
            done += len(waiting)
            waiting.clear()
        if not isinstance(part, Damage):
            for payload, count in payloads(part):
                done += count
                yield DecodedChunk(payload, count, done)
    if waiting:
        raise broken(waiting[0].reason, waiting[0].what)


def _told(damage: Damage) -> str:
    return f"{damage.what}, at byte {damage.at} of the text" if damage.at >= 0 else damage.what


def words_before(data: bytes, raws: list[bytes], at: int, known: bytes = b"") -> int:
    """Take what is a piece of the text that is damaged at `at` out of `raws`; return where it begins.

    `42 errors` is no value and a word: nothing but space is between them. Before a piece of an object, one
    that is unlike those before it is a piece too. known: an object that is none, b"" = there is none.
    """
    while raws and (raws[-1][:1] not in (b"{", b"[") or _is_piece(data, raws[-1], at, known)):
        start = data.rfind(raws[-1], 0, at)
        between = data[start + len(raws[-1]) : at]
        line = b"\n" in between and b"\n" not in raws[-1]
        if line or (raws[-1][:1] not in (b"{", b"[") and (not between or b"," in between)):
            break
        at = start
        raws.pop()
    return at


def _is_piece(data: bytes, raw: bytes, at: int, known: bytes) -> bool:
    return data[at : at + 1] not in b"{[}]" and known[:1] == b"{" and not _like(raw, known)


def typical(recent: Sequence[bytes]) -> bytes:
    """Return the last of some values that is like the one before it; the last when none is, b"" of none."""
    pairs = zip(reversed(recent), reversed(recent[:-1]), strict=False)
    return next((one for one, before in pairs if _like(one, before)), recent[-1] if recent else b"")


def after_value(data: bytes, start: int, known: bytes, *, ended: bool, lines: bool) -> int:
    """Return where values go on behind the damaged one at `start`, MORE = with more data, or NOWHERE.

    known: a good value before, b"" = none. ended: the object ends with data. lines: `known` was a line.
    """
    newline = data.find(b"\n", start)
    if newline < 0 and not ended:
        return MORE
    line_end = len(data) if newline < 0 else newline
    structured = data[start : start + 1] in (b"{", b"[")
    if not structured:
        if (
            not lines and b"\n" in known and data[line_end + 1 : line_end + 2] != b"{"
        ):  # a piece of many lines
            alike = _alike(data, start, known, _OBJECT)
            return alike if alike > 0 else len(data) if ended else MORE
        return line_end if newline >= 0 else _after_words(data, start, line_end, known)
    end = _closed(data, start)
    if lines and newline >= 0:
        return _after_line(data, line_end, end, known, ended=ended)
    return _after_object(data, start, (line_end, end), known, ended=ended)


def _after_object(data: bytes, start: int, ends: tuple[int, int], known: bytes, *, ended: bool) -> int:
    """Return where values go on behind one that is damaged; ends: of its first line, and its own."""
    line_end, end = ends
    alike = _alike(data, start, known, _OBJECT)
    if alike > 0 and (end < 0 or alike < end):
        return alike
    found = (
        _next_line(data, line_end, end, ended=ended, lines=False) if end < 0 or end > line_end else NOWHERE
    )
    if found != NOWHERE or end < 0:
        return found
    if (likely := _goes_on(data, (start, end), known, ended=ended)) == MORE:
        return MORE
    return end if likely > 0 else alike


def _closed(data: bytes, start: int) -> int:
    """Return where the value at `start` ends, negative when its brackets do not pair."""
    end = scanner.end_of(data, start)
    return end if end < 0 or data[end - 1 : end] == _CLOSING[data[start : start + 1]] else NOWHERE


def _after_line(data: bytes, line_end: int, end: int, known: bytes, *, ended: bool) -> int:
    """Return where lines go on behind one that is damaged, and may go on over the next."""
    if end > line_end:
        found = _next_line(data, line_end, end, ended=ended, lines=True)
        if found != NOWHERE:
            return found
        line_end = data.find(b"\n", end)
        if line_end < 0 and not ended:
            return MORE
        line_end = len(data) if line_end < 0 else line_end
    if end < 0:
        return _next_line(data, line_end, end, ended=ended, lines=True)
    gap = _AFTER_VALUE.match(data, end)
    at = gap.end() if gap else end
    behind = scanner.valid(data, at) if data[at : at + 1] == b"{" and at < line_end else 0
    return end if at >= line_end or (behind and _like(data[at:behind], known)) else line_end


def _goes_on(data: bytes, bad: tuple[int, int], known: bytes, *, ended: bool) -> int:
    """Tell whether what stands behind a damaged value is the next one, not a piece of it: 1, 0, or MORE."""
    start, end = bad
    at = _past_space(data, end)
    if data[at : at + 1] not in (b"{", b"["):
        return 1 if at < len(data) or ended else MORE
    behind = scanner.valid(data, at)
    if not behind:
        return 1 if ended or scanner.end_of(data, at) > 0 else MORE
    one = data[at:behind]
    if known:
        return int(_like(one, known))
    key = _FIRST_KEY.match(data, start)
    if key and (other := _FIRST_KEY.match(one)) and other[1] == key[1]:
        return 1
    then = _past_space(data, behind)
    if then == len(data) and not ended:
        return MORE
    last = scanner.valid(data, then) if data[then : then + 1] in (b"{", b"[") else 0
    a_line = b"\n" in data[end:at] and b"\n" not in data[start:end]
    return int(last > 0 and _like(data[then:last], one)) or int(a_line and then == len(data))


def _past_space(data: bytes, at: int) -> int:
    gap = scanner.SPACE.match(data, at)
    return gap.end() if gap else at


def _like(one: bytes, known: bytes) -> bool:
    """Tell whether a value may be a neighbour of another: an object with its keys, or an array as well."""
    if known[:1] == b"{":
        return is_similar(one, known)
    return one[:1] == known[:1]


def _after_words(data: bytes, start: int, end: int, known: bytes) -> int:
    """Return where a whole object stands behind words, in a text that has no lines."""
    for found in _tried(re.compile(rb"\{").finditer(data, start, end), data, start):
        at = found.start()
        behind = scanner.valid(data, at)
        if behind > 0 and is_similar(data[at:behind], known or data[behind : scanner.valid(data, behind)]):
            return at
    return end


def _tried(places: "Iterator[re.Match[bytes]]", data: bytes, start: int) -> "Iterator[re.Match[bytes]]":
    """Yield as many places as may be looked at: in nested garbage each look may go to the end of the data."""
    return islice(places, max(_LEAST_TRIED, _LOOKED_AT // max(len(data) - start, 1)))


def _alike(data: bytes, start: int, known: bytes, pattern: bytes) -> int:
    """Return where a valid object begins as the known one does and has its keys, or NOWHERE."""
    key = _FIRST_KEY.match(known)
    places = re.compile(pattern % re.escape(key[1])).finditer(data, start + 1) if key else iter(())
    for found in _tried(places, data, start):
        at = found.end()
        end = scanner.valid(data, at)
        if end > 0 and is_similar(data[at:end], known):
            return at
    return NOWHERE


def first_key(data: bytes, at: int = 0) -> bytes:
    """Return the first key of the object at `at`, with its quotes; b"" = there is none."""
    found = _FIRST_KEY.match(data, at)
    return found[1] if found else b""


def is_similar(one: bytes, other: bytes) -> bool:
    """Tell whether an object has half of the keys of another, or more."""
    keys = _keys(other)
    return len(keys & _keys(one)) * 2 >= max(len(keys), 1)


def _next_line(data: bytes, at: int, end: int, *, ended: bool, lines: bool) -> int:
    """Return the next line that is a whole object, and is told as a line of its own by one beside it.

    Lines of objects follow each other without commas; those within a value do not.
    """
    places = re.compile(rb"\n(?=\{)").finditer(data, at, end if end > 0 else len(data))
    for found in _tried(places, data, at):
        at = found.end()
        line_end = _whole_line(data, at, ended=ended)
        if line_end == MORE:
            return MORE
        if line_end > 0:
            if lines:
                return at
            beside = _whole_line(data, line_end + 1, ended=ended) if line_end + 1 < len(data) else NOWHERE
            if beside == MORE or (beside == NOWHERE and line_end + 1 >= len(data) and not ended):
                return MORE
            if beside > 0:
                return at
    return NOWHERE if ended or end > 0 else MORE


def _whole_line(data: bytes, at: int, *, ended: bool) -> int:
    """Return the end of a line that is one valid object; MORE when it has no end yet; else NOWHERE."""
    newline = data.find(b"\n", at)
    if newline < 0 and not ended:
        return MORE
    newline = len(data) if newline < 0 else newline
    end = scanner.valid(data, at) if data[at : at + 1] == b"{" else 0
    return newline if 0 < end <= newline and not data[end:newline].strip() else NOWHERE


def after_record(data: bytes, start: int, border: bytes, known: bytes, *, ended: bool) -> int:
    """Return where an array goes on behind the damaged record at `start`; MORE = with more data; or NOWHERE.

    border: what stands between two records, as `},{"eventVersion"`. known: a good record before, b"" = none.
    """
    end = scanner.end_of_element(data, start)
    if end > 0:
        if _AFTER_RECORD.match(data, end):
            return end
        if not ended and not data[end:].strip():
            return MORE
    key = border.rpartition(b"{")[2].strip()
    if not key:
        return NOWHERE if ended else MORE
    keys = _keys(known)
    places = re.compile(rb"[,\s](?=\{\s*" + re.escape(key) + rb"\s*:)").finditer(data, start + 1)
    for found in _tried(places, data, start):
        at = found.end()
        end = scanner.valid(data, at)
        if end > 0 and _AFTER_RECORD.match(data, end) and len(keys & _keys(data[at:end])) * 2 >= len(keys):
            return at
    return NOWHERE if ended else MORE


def stray_bracket(data: bytes, at: int, known: bytes) -> int | None:
    """Return where an array goes on behind a `]` that does not end it: a record as those before follows."""
    gap = scanner.SPACE.match(data, at)
    start = gap.end() if gap else at
    end = scanner.valid(data, start) if known and data[start : start + 1] == b"{" else 0
    alike = end > 0 and _AFTER_RECORD.match(data, end) and is_similar(data[start:end], known)
    return start if alike else None


def _keys(record: bytes) -> set[str]:
    try:
        return set(_KEYS.decode(record))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return set()
