"""Text objects cut into whole lines: headers, comments and blank lines fall away.

A chunk is cut at its last newline and the rest carried on. Lines are not looked at one by one, unless a
pattern that calls for it (a comment, an open quote) was found in the chunk. Of a line that is too long the
beginning is kept, as damage; reading goes on behind it.
"""

import re
from collections.abc import Iterator
from itertools import chain, repeat

from msgspec import Struct

from sources.objects.decoded_chunk import DecodedChunk, broken
from sources.objects.stored_bytes import led
from sources.objects.text_repair import BOM, repaired, without_blanks
from transforms.layout import Layout

_FIELDS = b"#Fields:"
_NEITHER_QUOTE_NOR_NEWLINE = bytes(set(range(256)) - set(b'"\n'))
_DATED = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:')
KEPT_BYTES, MOST_LENGTHS = 1 << 10, 16
"""Of a line that is too long: what is kept, and how many times too long it may be before the object ends."""
_RECORD_LINES = 100
_RECORD_BYTES = 64 << 10


def lines(chunks: Iterator[bytes], layout: Layout, longest: int) -> Iterator[DecodedChunk]:
    """Yield the lines of a text object. longest: bytes of a line; one beyond that is damage.

    Raises ObjectBroken (`line_too_long`) when there is no other line.
    """
    overlong: list[_Overlong] = []
    ended = _ended(chunks, layout.line_end) if layout.line_end else chunks
    texts = _clean(_cut(_newlines(ended), longest, overlong))
    if layout.quoted:
        texts = _records(texts)
    if layout.comment:
        titled = _uncommented(texts, layout.comment)
    elif layout.is_header:
        titled = _unheaded(texts, layout)
    else:
        titled = zip(texts, repeat(b""), strict=False)
    records = 0
    for text, header in chain(titled, [(b"", b"")]):
        payload, count = without_blanks(text)
        while overlong and (records or count):
            records += 1
            yield overlong.pop(0).damage(records)
        if count:
            records += count
            yield DecodedChunk(payload, count, records, header)
    if overlong:
        raise broken("line_too_long", overlong[0].what)


class _Overlong(Struct):
    """A line over the bound. at: where it begins in the text, in bytes. head: its first bytes."""

    at: int
    size: int
    head: bytes

    @property
    def what(self) -> str:
        return f"a line of {self.size} bytes"

    def damage(self, record: int) -> DecodedChunk:
        """Return what stands for it."""
        detail = f"{self.what}, at byte {self.at} of the text"
        return DecodedChunk(self.head, 1, record, reason="line_too_long", detail=detail)


def _ended(chunks: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    """Make newlines of another separator, which may lie across two chunks."""
    held = b""
    for chunk in chunks:
        *whole, rest = (held + chunk).split(end)
        begun = next((n for n in range(len(end) - 1, 0, -1) if rest.endswith(end[:n])), 0)
        rest, held = rest[: len(rest) - begun], rest[len(rest) - begun :]
        yield b"\n".join(line.replace(b"\n", b" ") for line in (*whole, rest))
    yield held.replace(b"\n", b" ")


def _newlines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Make newlines of CRs where lines end in CR alone, as the first chunk shows."""
    first = next(chunks, b"")
    mac = b"\n" not in first and 0 <= first.find(b"\r") < len(first) - 1
    return (chunk.replace(b"\r", b"\n") for chunk in led(first, chunks)) if mac else led(first, chunks)


def _cut(chunks: Iterator[bytes], longest: int, overlong: list[_Overlong]) -> Iterator[bytes]:
    """Yield texts that end in a newline, without the lines that are too long, which `overlong` is told of."""
    held: list[bytes | memoryview] = []
    size = at = 0
    for chunk in chunks:
        start, end = 0, chunk.rfind(b"\n") + 1
        if end and size > longest:
            start = chunk.find(b"\n") + 1
            overlong[-1].size, size = size + start - 1, 0
        if end > start:
            cut = size or start or end < len(chunk)
            yield b"".join([*held, memoryview(chunk)[start:end]]) if cut else chunk
        if end:
            held, size = [], 0
        at += len(chunk)
        if end < len(chunk):
            held.append(chunk[end:])
            size += len(chunk) - end
        if size > longest:
            _note(overlong, _Overlong(at - size, size, bytes(held[0][:KEPT_BYTES])), longest)
            held = []
            del chunk  # another may be as large
    if 0 < size <= longest:
        yield b"".join([*held, b"\n"])


def _note(overlong: list[_Overlong], line: _Overlong, longest: int) -> None:
    """Note a line that has grown too long, or that one goes on."""
    if overlong and overlong[-1].at == line.at:
        overlong[-1].size = line.size
    else:
        overlong.append(line)
    if line.size > MOST_LENGTHS * longest:
        raise broken("line_too_long", f"{line.what} and more: what follows is not looked for")


def _clean(texts: Iterator[bytes]) -> Iterator[bytes]:
    """Repair texts; a mark where joined files begin, and lines of nothing but NULs, are taken out."""
    for text in texts:
        whole = repaired(_without_padding(text) if b"\0" in text else text)
        if not whole.isascii():
            whole = whole.removeprefix(BOM).replace(b"\n" + BOM, b"\n")
        yield whole.replace(b"\r\n", b"\n") if b"\r" in whole else whole


def _without_padding(text: bytes) -> bytes:
    """Make blank lines of those that are NULs alone: what a file system leaves where nothing was written."""
    return b"\n".join([line if line.strip(b"\0") else b"" for line in text.split(b"\n")])


def _unheaded(texts: Iterator[bytes], layout: Layout) -> Iterator[tuple[bytes, bytes]]:
    """Take the column line off: the first line, and its copies or others where files were joined."""
    header = b""
    first = True
    for text in texts:
        body = text.lstrip(b"\n") if first else text
        if first and body:
            first = False
            line, _, rest = body.partition(b"\n")
            if layout.is_header and layout.is_header(line):
                header, body = line, rest
        for rows, named in _by_header(body, header, layout):
            header = named
            yield (_without(rows, header, layout) if header and header in rows else rows), header


def _by_header(text: bytes, header: bytes, layout: Layout) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows of each header. The line before one that is glued to it gets its newline."""
    at = 0
    for start, end in layout.other_headers(text, header) if layout.other_headers else ():
        rows = text[at:start]
        yield rows if rows.endswith(b"\n") or not rows else rows + b"\n", header
        header, at = text[start : end - 1], end
    yield text[at:] if at else text, header


def _without(body: bytes, header: bytes, layout: Layout) -> bytes:
    """Take lines out that are the header again.

    With `layout.glued` it may also stand at the end of a row, whose file had no last newline: that row must
    have just as many columns, else the text of a header within a value would be cut out.
    """
    kept: list[bytes] = []
    width = header.count(layout.separator)
    for line in body.split(b"\n")[:-1]:
        row = line.removesuffix(header)
        if not row:
            continue
        glued = layout.glued and width and row is not line and row.count(layout.separator) == width
        kept.append(row if glued else line)
    return _terminated(kept)


def _uncommented(texts: Iterator[bytes], comment: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Take comment lines out; a text is divided where a `#Fields:` line changes the header."""
    header = b""
    for text in texts:
        kept: list[bytes] = []
        done = 0
        while (start := _comment_at(text, comment, done)) >= 0:
            kept.append(text[done:start])
            done = text.index(b"\n", start) + 1
            line = text[start:done]
            if line.startswith(_FIELDS) and (fields := line.removeprefix(_FIELDS).strip()) != header:
                yield b"".join(kept), header
                kept, header = [], fields
        yield b"".join([*kept, memoryview(text)[done:]]) if done else text, header


def _comment_at(text: bytes, comment: bytes, start: int) -> int:
    """Return where the next comment line begins, from the beginning of a line on; -1 = there is none."""
    if text.startswith(comment, start):
        return start
    if text.find(comment, start) < 0:  # several times faster than to look for two bytes
        return -1
    found = text.find(b"\n" + comment, start)
    return found + 1 if found >= 0 else -1


def _records(texts: Iterator[bytes]) -> Iterator[bytes]:
    """Make each CSV record one line: a newline within quotes becomes a space.

    When every line has an even number of quotes, every line is a record.
    """
    held = b""
    for text in texts:
        whole = held + text
        held = b""
        if not _all_closed(whole):
            whole, held = _joined(whole.split(b"\n")[:-1])
        yield whole
    if held:
        yield _joined(held.split(b"\n")[:-1], last=True)[0]


def _all_closed(text: bytes) -> bool:
    """Tell whether every line has an even number of quotes, looking at quotes and newlines only.

    As a rule all lines have as many as the first; else no quote may be left when pairs are taken out.
    """
    marks = text.translate(None, _NEITHER_QUOTE_NOR_NEWLINE)
    first = marks[: marks.find(b"\n") + 1]
    if len(first) % 2 and marks == first * (len(marks) // len(first)):
        return True
    return b'"' not in marks.replace(b'""', b"")


def _joined(physical: list[bytes], *, last: bool = False) -> tuple[bytes, bytes]:
    """Join the lines of each record; return them and the lines of one that is still open.

    A quote that is never closed must not swallow the file: its line is taken as it stands when the record
    would grow too long, when a line begins as records do (with a date), or at the end.
    """
    out: list[bytes] = []
    start = 0
    while start < len(physical):
        end = _record_end(physical, start)
        if end is None and not last:
            break
        if end is None or end < 0:
            out.append(physical[start])
            start += 1
        else:
            out.append(b" ".join(physical[start:end]))
            start = end
    return _terminated(out), _terminated(physical[start:])


def _record_end(physical: list[bytes], start: int) -> int | None:
    """Return where the record that begins at line `start` ends; None: not yet; -1: its quote stays open."""
    size, is_open = 0, False
    for number in range(start, len(physical)):
        line = physical[number]
        if number > start and _DATED.match(line):
            return -1
        size += len(line)
        is_open ^= line.count(b'"') % 2 == 1
        if not is_open:
            return number + 1
        if number - start >= _RECORD_LINES or size > _RECORD_BYTES:
            return -1
    return None


def _terminated(lines_: list[bytes]) -> bytes:
    return b"".join([line + b"\n" for line in lines_])
