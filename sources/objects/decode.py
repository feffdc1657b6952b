"""An object's stored bytes made pieces of whole events, in bounded memory, whatever its name says it is.

    stored bytes → gunzip, unzstd … (as its first bytes say, twice at most) → rows of Parquet
                                                                            → records of a JSON array
                                                                            → JSON values in a row
                                                                            → lines

Steps are generators; each holds about 1 MiB. The same object always makes the same pieces, however short the
reads are, so that "events done" is all it takes to go on with it (`skip`).
"""

import re
from collections.abc import Iterator

from sources.errors import ObjectBroken
from sources.objects.decoded_chunk import CHUNK_BYTES, Budget, DecodedChunk, DecodeLimits, Readable, broken
from sources.objects.inflate import inflater
from sources.objects.json_text.array import records
from sources.objects.json_text.values import values
from sources.objects.lines import lines
from sources.objects.parquet import rows as parquet
from sources.objects.stored_bytes import led
from sources.objects.text_check import NO_UTF_8, UTF_16, not_text
from transforms.layout import Layout

__all__ = ["DecodeLimits", "DecodedChunk", "Layout", "Readable", "full", "head", "read", "skip"]

_LAYERS = 2
_HEAD_BYTES = 4096
_JSON = (b'{"', b"[{", b"{\n", b"[\n")
_FRAMED = re.compile(rb"[0-9a-fA-F]{1,16};chunk-signature=[0-9a-f]{64,}\r\n")
_UNSIGNED = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_NEXT_UNSIGNED = re.compile(rb"\r\n(?:0\r\n(?:x-amz-|\r\n|\Z)|[0-9a-fA-F]{2,8}\r\n)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(body: Readable, layout: Layout, limits: DecodeLimits, name: str = "") -> Iterator[DecodedChunk]:
    """Yield the events of an object. name: its key, which tells what content does not (brotli's `.br`).

    Raises ObjectBroken (ObjectTooLarge for a bomb) after the pieces before the damage, its `record` telling
    how many events came out. Errors of `body.read` pass as they are.
    """
    done, budget = 0, Budget(limits)
    try:
        for piece in _pieces(body, layout, budget, name):
            done = piece.records
            yield piece
            budget.work()
    except ObjectBroken as error:
        where = f"after {done} events"
        raise type(error)(error.what, where, error.hint, reason=error.reason, record=done) from error


def skip(pieces: Iterator[DecodedChunk], done: int) -> Iterator[DecodedChunk]:
    """Leave out the first `done` events: what a former run has emitted."""
    for piece in pieces:
        before = piece.records - piece.count
        if before >= done:
            yield piece
        elif piece.records > done:
            rest = piece.payload.split(b"\n", done - before)[-1]
            yield DecodedChunk(rest, piece.records - done, piece.records, piece.header)


def head(body: Readable, size: int, name: str = "") -> bytes:
    """Return the first `size` decoded bytes of an object, for `detect`; less when it is damaged.

    Of Parquet: its magic and the names of its columns, one space between.
    """
    held = b""
    try:
        budget = Budget(DecodeLimits(), chunk=size)
        start, chunks = _plain(body, budget, name)
        if start.startswith(parquet.MAGIC):
            names = parquet.columns(chunks, budget)
            return b" ".join([parquet.MAGIC, *(name.encode() for name in names)])
        for chunk in chunks:
            held += chunk[:size]
            if len(held) >= size:
                break
    except ObjectBroken:
        pass  # what came before the damage is enough to tell a type
    return held[:size]


def _pieces(body: Readable, layout: Layout, budget: Budget, name: str) -> Iterator[DecodedChunk]:
    if layout.refused:
        raise broken("object_unknown", layout.refused, "have other objects announced to another queue")
    limits = budget.limits
    start, chunks = _plain(body, budget, name)
    if start.startswith(parquet.MAGIC):
        return parquet.rows(chunks, layout, budget)
    if not ((layout.values or layout.records) and start.startswith(_JSON)):  # JSON's parser looks by itself
        _check_text(start)
    if layout.values:
        return values(chunks, layout, limits.record_bytes)
    if layout.records:
        return records(chunks, layout, limits.record_bytes)
    return lines(chunks, layout, limits.record_bytes)


def _check_text(start: bytes) -> None:
    what = UTF_16 if start.startswith(_UTF_16) else not_text(start)
    if what == UTF_16:
        raise broken("encoding_unknown", "the text is UTF-16", "have it written in UTF-8")
    if _FRAMED.match(start) or _is_unsigned(start):
        hint = "S3 takes the frames (aws-chunked) off; have it written anew by what stored it"
        raise broken("encoding_unknown", "the object is in the frames of its upload", hint)
    if what:
        hint = "keep such objects out of what is announced"
        hint = f"have it written in UTF-8 if it is a text, else {hint}" if what == NO_UTF_8 else hint
        raise broken("not_text", f"the object is {what}", hint)


def _is_unsigned(start: bytes) -> bool:
    """Tell frames without signatures: another one begins where the size of the first one says."""
    first = _UNSIGNED.match(start)
    return bool(first and _NEXT_UNSIGNED.match(start, first.end() + int(first[1], 16)))


def _plain(body: Readable, budget: Budget, name: str) -> tuple[bytes, Iterator[bytes]]:
    """Return an object's first bytes and its chunks, inflated as often as its content asks for."""
    start, chunks = _peek(_stored(body, budget))
    for layer in range(_LAYERS):
        inflate = inflater(start, name if layer == 0 else "")
        if inflate is None:
            return start, map(budget.passing, chunks) if layer == 0 else chunks
        start, chunks = _peek(inflate(chunks, budget))
    return start, chunks


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = next(chunks, b"")
    return first[:_HEAD_BYTES], led(first, chunks) if first else iter(())


def _stored(body: Readable, budget: Budget) -> Iterator[bytes]:
    while chunk := full(body, CHUNK_BYTES):
        budget.stored += len(chunk)
        budget.work()
        yield chunk


def full(body: Readable, size: int) -> bytes:
    """Read exactly `size` bytes, less only at the end: pieces must not depend on how the network cut them."""
    first = body.read(size)
    if len(first) == size or not first:
        return first
    parts, held = [first], len(first)
    while held < size and (part := body.read(size - held)):
        parts.append(part)
        held += len(part)
    return b"".join(parts)
