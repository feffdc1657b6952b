"""Streams of compressed chunks made streams of plain ones, in bounded memory.

Each takes and gives chunks of about 1 MiB. What inflated well before damage comes out before the error.
"""

from collections.abc import Callable, Iterator
from typing import Any

import zstandard
from isal import igzip_lib

from sources.errors import ObjectBroken
from sources.piece import CHUNK_BYTES, Budget, broken

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

_GZIP_STEP = 1 << 18
_ZSTD_STEP = 1 << 10  # four stored bytes may become 128 KiB, and zstandard has no bound on one call's output
_ZSTD_WINDOW = 1 << 27
_CUT_SHORT = "the upload or download was cut short; look at the object in its bucket"

_DAMAGE: Any = (igzip_lib.error, zstandard.ZstdError)

Inflate = Callable[[Iterator[bytes], Budget], Iterator[bytes]]


def inflater(head: bytes) -> Inflate | None:
    """Return what inflates an object with these first bytes, or None for one that is not compressed."""
    if head.startswith(GZIP):
        return gunzip
    skippable = len(head) >= len(ZSTD) and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5  # noqa: PLR2004 - magic 184D2A5?
    return unzstd if head.startswith(ZSTD) or skippable else None


def gunzip(chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Inflate gzip members one after the other; zeros after the last are padding, other bytes an error."""
    return _regrouped(_gunzip(_sliced(chunks)), budget)


def unzstd(chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Inflate zstd frames one after the other."""
    return _regrouped(_unzstd(chunks), budget)


def _regrouped(parts: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Join small parts up to `CHUNK_BYTES`; what is in hand comes out before an error."""
    held, size = list[bytes](), 0
    failure: Exception | None = None
    try:
        for part in parts:
            budget.spend(len(part))
            held.append(part)
            size += len(part)
            if size >= CHUNK_BYTES:
                yield b"".join(held)
                held, size = [], 0
    except _DAMAGE as error:
        failure = broken("inflate_failed", f"compressed data is damaged ({error})")
    except ObjectBroken as error:
        failure = error
    if held:
        yield b"".join(held)
    if failure:
        raise failure


def _sliced(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut chunks smaller: what follows a member is copied, and a chunk may hold thousands of members."""
    for chunk in chunks:
        for start in range(0, len(chunk), _GZIP_STEP):
            yield chunk[start : start + _GZIP_STEP]


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    data, members = next(chunks, b""), 0
    while data := data or next(chunks, b""):
        if members and not (data := data.lstrip(b"\0")):
            continue
        if len(data) < len(GZIP):
            data += next(chunks, b"")
        if members and not data.startswith(GZIP):
            raise broken("gzip_garbage", "bytes after the last gzip member are not gzip")
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        yield from _member(member, data, chunks)
        data, members = member.unused_data, members + 1


def _member(member: Any, data: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    while not member.eof:
        if member.needs_input and not (data := data or next(chunks, b"")):
            raise broken("gzip_truncated", "a gzip member has no end", _CUT_SHORT)
        part = member.decompress(data, max_length=CHUNK_BYTES)
        data = b""
        if part:
            yield part


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    data, frame = b"", None
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    while data := data or next(chunks, b""):
        frame = frame or decompressor.decompressobj()
        position = 0
        while position < len(data) and not frame.eof:
            if part := frame.decompress(data[position : position + _ZSTD_STEP]):
                yield part
            position += _ZSTD_STEP
        data = frame.unused_data + data[position:]
        frame = None if frame.eof else frame
    if frame is not None:
        raise broken("zstd_truncated", "a zstd frame has no end", _CUT_SHORT)
