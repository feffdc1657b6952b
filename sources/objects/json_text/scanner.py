"""An exact scanner of JSON structure: slow, but it knows where each element ends, whatever comes after.

For the cases that parsing at once cannot do: windows without a usable border, damage, several documents.
"""

import json
import re
from typing import Final

import msgspec
from msgspec import Struct, field

from sources.objects.decoded_chunk import broken

OPEN: Final = "open"
CLOSED: Final = "closed"
BROKEN: Final = "broken"

SHORT: Final = -1
TOO_DEEP: Final = -2
MAX_DEPTH: Final = 1000
"""The parser's own limit is about the same."""
_DEEP = f"nested more than {MAX_DEPTH} deep"

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + rb'|[{}\[\]"]', re.DOTALL)
SPACE = re.compile(rb"(?:[\s,]|\xef\xbb\xbf)*+")
"""Between two values: white space, commas, the byte order marks of files that were joined."""
_VALUE_IS_ARRAY = re.compile(rb"\s*+:\s*+\[")
_SCALAR = re.compile(_STRING + rb"|[^\s,\[\]{}\"]++", re.DOTALL)
_GAP = re.compile(rb"[ \t]*+")
_RAW = msgspec.json.Decoder(msgspec.Raw)


class ScanResult(Struct):
    """Elements of an array, and where and why the scan stopped.

    state: at an element that is not complete (OPEN), after the closing bracket (CLOSED), or at one that is
    not valid (BROKEN, with `detail`).
    """

    raws: list[bytes] = field(default_factory=list)
    end: int = 0
    state: str = OPEN
    detail: str = ""


def end_of(data: bytes, start: int, depth: int = 0) -> int:
    """Return the position after the bracket that brings the depth back to 0.

    -1 (`SHORT`) when data ends before; `TOO_DEEP` when more than `MAX_DEPTH` are open.
    """
    for token in _TOKEN.finditer(data, start):
        mark = token[0]
        if mark in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return TOO_DEEP
        elif mark in b"}]":
            depth -= 1
            if not depth:
                return token.end()
        elif mark == b'"':
            return SHORT
    return SHORT


def find_array(data: bytes, key: bytes, start: int = 0) -> tuple[int, int]:
    """Find the array under a top-level key of the document at `start`, or the array that the document is.

    Return (position after its opening bracket, -1), or (-1, end of the document without it), or (-1, -1)
    when data ends before either. Raises ObjectBroken for a document nested too deeply.
    """
    if data.startswith(b"[", start):
        return start + 1, -1
    depth, quoted = 0, b'"' + key + b'"'
    for token in _TOKEN.finditer(data, start):
        mark = token[0]
        if mark in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise broken("json_broken", _DEEP)
        elif mark in b"}]":
            depth -= 1
            if not depth:
                return -1, token.end()
        elif mark == b'"':
            break
        elif depth == 1 and mark == quoted and (opening := _VALUE_IS_ARRAY.match(data, token.end())):
            return opening.end(), -1
    return -1, -1


def elements(data: bytes, start: int = 0, between: "re.Pattern[bytes]" = SPACE) -> ScanResult:
    """Return the complete and valid elements from `start` on, which is inside an array.

    between: matches what may stand between two of them.
    """
    found = ScanResult(end=start)
    while True:
        space = between.match(data, found.end)
        found.end = space.end() if space else found.end
        if data[found.end : found.end + 1] == b"]":
            found.end, found.state = found.end + 1, CLOSED
            return found
        end = end_of_element(data, found.end)
        if end == TOO_DEEP:
            found.state, found.detail = BROKEN, _DEEP
        if end < 0:
            return found
        raw = data[found.end : end]
        if problem := _problem(raw) or _run_on(data, found.end, end):
            found.state, found.detail = BROKEN, problem
            return found
        found.raws.append(raw)
        found.end = end


def valid(data: bytes, start: int) -> int:
    """Return the end of the valid object or array at `start`, 0 when there is none."""
    end = end_of(data, start)
    return end if end > 0 and not _problem(data[start:end]) else 0


def end_of_element(data: bytes, start: int) -> int:
    """Return the position after an element of an array, whose end is in `data`; negative when it is not."""
    if data[start : start + 1] in (b"{", b"["):
        return end_of(data, start)
    scalar = _SCALAR.match(data, start)
    if scalar and scalar.end() < len(data):
        return scalar.end()
    return start + 1 if data[start : start + 1] == b"}" else -1


def _run_on(data: bytes, start: int, end: int) -> str:
    """Return what is wrong with a number or text that runs on into what follows, or over a line."""
    if data[start : start + 1] in (b"{", b"["):
        return ""
    gap = _GAP.match(data, end)
    apart = data[gap.end() : gap.end() + 1] in b"\r\n,]\xef" if gap else False
    return "" if apart and b"\n" not in data[start:end] else "it runs into the next value"


def _problem(raw: bytes) -> str:
    """Return what is wrong with one element, "" when nothing is.

    The second opinion lets pass what the strict parser does not: control characters in strings, and half
    surrogate pairs.
    """
    try:
        _RAW.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        try:
            json.loads(raw, strict=False)
        except (ValueError, RecursionError):
            return str(error)
    return ""


def compact(raw: bytes | msgspec.Raw) -> bytes:
    """Return a record on one line: without white space, or as it is when it has no newline."""
    record = bytes(raw)
    if b"\n" not in record:
        return record
    try:
        return msgspec.json.format(record, indent=-1)
    except msgspec.DecodeError:
        return record.replace(b"\n", b" ")
