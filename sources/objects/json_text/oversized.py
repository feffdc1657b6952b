"""A value too large to be held, passed over in bounded memory: it costs itself, not what stands behind it.

It ends where its brackets pair. Where it cannot be a value (a bracket closes another one, an object stands in
a string or where none may be), it is damaged: then the next object that is like those of its row is the next
value. What may just as well be within it is never taken for one.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from sources.objects.decoded_chunk import CHUNK_BYTES, broken
from sources.objects.json_text import scanner
from sources.objects.json_text.chunk_buffer import ChunkBuffer
from sources.objects.json_text.resync import Damage, first_key, is_similar
from sources.objects.lines import KEPT_BYTES, MOST_LENGTHS

_AHEAD = CHUNK_BYTES
"""Bytes that are in memory behind a place where the next value may begin: as large a one is recognised."""
_LOOKED_AT = 64 << 20
"""Bytes of such values that are looked through for one damage, about."""
_STEP = 256 << 10
"""Bytes that are gone through at once, while no other thread runs."""
_BEFORE = 64
_IN_STRING: Any = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OUTSIDE: Any = re.compile(rb'(?:[^"]++|%b)*+' % _STRING, re.DOTALL)
"""Matches up to a string that goes on."""
_NO_BRACKETS: Any = re.compile(rb'%b|[^{}\[\]"]++' % _STRING, re.DOTALL)
_APART, _PAIRS = 2, 4
"""The code of a bracket that closes is two more than that of the one that opens."""
_MAY_PRECEDE = {ord("{"): b":", ord("["): b"[,"}
"""What stands before an object in an object, and in an array."""


def passed_over(tape: ChunkBuffer, like: bytes, longest: int, what: str) -> Damage:
    """Move behind the value that the tape stands at, of which more than `longest` bytes may not be held.

    like: another of its row, b"" = none is known. what: what to call it. Raises ObjectBroken when it has no
    certain end, or is more than sixteen times too long.
    """
    start, at = tape.position, tape.at
    head = tape.data[at : at + KEPT_BYTES]
    passing = begun(head[:1], like, first_key(head))
    tape.at += 1
    if not passing.behind(tape, MOST_LENGTHS * longest):
        told = f"{what} of {tape.position - start} bytes, at byte {start}, has no certain end"
        raise tape.failure or broken("json_broken" if passing.damaged else "record_too_large", told)
    size, held = tape.position - start, tape.at - at
    if passing.damaged and size == held <= longest:
        raw = tape.data[at : tape.at].rstrip(b", \t\r\n")
        return Damage(raw, "json_broken", f"{what} is not valid JSON: it has no end", start)
    return Damage(head, "record_too_large", f"{what} of {size} bytes", start)


def begun(mark: bytes, like: bytes = b"", key: bytes = b"") -> "Passing":
    """Return the place behind the first byte of a value; words are none."""
    bracket, quote = mark in (b"{", b"["), mark == b'"'
    brackets = bytearray(mark if bracket else b"")
    return Passing(brackets, like, key, quoted=quote, damaged=not (bracket or quote))


class Passing(Struct):
    """A place within a value that is passed over.

    like: another of its row, b"" = none is known. key: its own first one, with quotes.
    brackets: that are open there. quoted: it is in a string. damaged: it is in no valid value.
    left: bytes of values behind it that may still be looked at.
    """

    brackets: bytearray
    like: bytes = b""
    key: bytes = b""
    quoted: bool = False
    damaged: bool = False
    left: int = _LOOKED_AT

    def behind(self, tape: ChunkBuffer, most: int) -> bool:
        """Move the tape to the value's end, or to the next one; tell whether one is within `most` bytes."""
        start = tape.position
        while not self._through(tape):
            if tape.ended or tape.position - start > most or (self.damaged and not (self.like or self.key)):
                return False
            tape.fill(2 * _AHEAD)
        return True

    def _through(self, tape: ChunkBuffer) -> bool:
        """Go through what the tape holds, up to a place that was looked for, or nearly to its end."""
        end = len(tape.data) - (0 if tape.ended else _AHEAD)
        for place in self._places(tape.data, tape.at, end):
            if self._closed(tape, place):
                return True
            if self._is_next(tape, place):
                tape.at, self.damaged = place, True
                return True
        return self._closed(tape, end)

    def _places(self, data: bytes, at: int, end: int) -> Iterator[int]:
        """Yield where an object begins as the known one does."""
        key = first_key(self.like) or self.key
        places = re.compile(rb"\{\s*+" + re.escape(key) + rb"\s*+:").finditer(data, at) if key else ()
        for found in places:
            if found.start() >= end:
                break
            yield found.start()

    def _closed(self, tape: ChunkBuffer, end: int) -> bool:
        """Move to `end`, or to where the value ends before that, and tell which."""
        data = tape.data
        while tape.at < end and not self.damaged:
            stop = min(end, tape.at + _STEP)
            if self.quoted:
                tape.at = _IN_STRING.match(data, tape.at, stop).end()
                if tape.at >= stop or data[tape.at : tape.at + 1] != b'"':  # the string goes on, or an escape
                    if stop == end:
                        return False
                    continue
                self.quoted, tape.at = False, tape.at + 1
                if not self.brackets:
                    return True
            depth, quote = len(self.brackets), _OUTSIDE.match(data, tape.at, stop).end()
            self._enter(_NO_BRACKETS.sub(b"", data[tape.at : quote]))
            if not (self.brackets or self.damaged):
                tape.at = scanner.end_of(data, tape.at, depth)
                return True
            self.quoted, tape.at = quote < stop, min(quote + 1, stop)
        tape.at = max(tape.at, end)
        return False

    def _enter(self, marks: bytes) -> None:
        """Take brackets, up to the one that ends the value, or shows that it is none."""
        for _ in range(_PAIRS):
            marks = marks.replace(b"{}", b"").replace(b"[]", b"")
        brackets = self.brackets
        for mark in marks:
            if mark in _MAY_PRECEDE:
                brackets.append(mark)
            elif not brackets or mark - brackets.pop() != _APART:
                self.damaged = True
                return
            if not brackets:
                return
        self.damaged = len(brackets) > scanner.MAX_DEPTH

    def _is_next(self, tape: ChunkBuffer, at: int) -> bool:
        """Tell whether the object at a place is the next value, since none may be there in a valid one."""
        before = (tape.data[max(0, at - _BEFORE) : at] or tape.before).rstrip()[-1:]
        misplaced = self.brackets and before and before not in _MAY_PRECEDE[self.brackets[-1]]
        if self.left <= 0 or not (self.damaged or self.quoted or misplaced):
            return False
        end = scanner.valid(tape.data, at)
        self.left -= (end or len(tape.data)) - at
        return end > 0 and is_similar(tape.data[at:end], self.like or self._behind(tape.data, end))

    def _behind(self, data: bytes, end: int) -> bytes:
        """Return the object behind one, which tells what values are like where no other is known."""
        gap: Any = scanner.SPACE.match(data, end)
        return data[gap.end() : scanner.valid(data, gap.end()) or gap.end()]
