"""Streams of compressed chunks made streams of plain ones, in bounded memory.

Each takes and gives chunks of about 1 MiB. What inflated well before damage comes out before the error; of
zstd by whole blocks, which are of up to 128 KiB: its entropy coding gives none or all of one.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import zstandard
from isal import igzip_lib

from sources.errors import ObjectBroken, ObjectTooLarge
from sources.objects.codecs import BROTLI_SUFFIX, DAMAGE, Parts, codec
from sources.objects.decoded_chunk import CHUNK_BYTES, Budget, DecodeLimits, broken
from sources.objects.stored_bytes import StoredBytes

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

_FIRST_BYTES = frozenset(bytes([byte]) for byte in (*b"\x1f\x28\x04\xff\xfdBxP", *range(0x50, 0x60)))
"""First byte of every mark here and in `codecs.py`: a new mark's must be added, or it is never looked at."""

_FIRST_STEP, _GZIP_STEP = 1 << 10, 1 << 18  # what follows a member is copied: the step grows with the member
_ZSTD_STEP = 1 << 10  # four stored bytes may become 128 KiB, and zstandard has no bound on one call's output
_TINY = 1 << 10
_TOO_MUCH_MEMORY = ("too much memory", "Memory usage limit")
"""What zstd (frameParameter_windowTooLarge) and xz say of a window that is larger than allowed."""
_CUT_SHORT = "the upload or download was cut short; look at the object in its bucket"

_DAMAGE: Any = (igzip_lib.error, zstandard.ZstdError)

Inflate = Callable[[Iterator[bytes], Budget], Iterator[bytes]]


def inflater(head: bytes, name: str) -> Inflate | None:
    """Return what inflates an object of these first bytes and name, None for one that is not compressed."""
    if head[:1] not in _FIRST_BYTES and not name.endswith(BROTLI_SUFFIX):
        return None
    if head.startswith(GZIP):
        return gunzip
    skippable = len(head) >= len(ZSTD) and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5  # noqa: PLR2004 - magic 184D2A5?
    if head.startswith(ZSTD) or skippable:
        return unzstd
    parts = codec(head, name)
    return partial(_inflated, parts) if parts else None


def _inflated(parts: Parts, chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    return _regrouped(_undamaged(parts, StoredBytes(chunks), budget), budget)


def _undamaged(parts: Parts, stored: StoredBytes, budget: Budget) -> Iterator[bytes]:
    """Yield what a codec makes; what its library raises is damage, what reading raises is not."""
    try:
        yield from parts(stored, budget)
    except DAMAGE as error:
        if stored.failure:
            raise stored.failure from error
        raise _failed(error, budget.limits) from error


def gunzip(chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Inflate gzip members one after the other; zeros after the last are padding, other bytes an error."""
    return _regrouped(_gunzip(StoredBytes(chunks)), budget)


def unzstd(chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Inflate zstd frames one after the other."""
    return _regrouped(_unzstd(StoredBytes(chunks), budget.limits.max_window_bytes), budget)


def _regrouped(parts: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Join small parts up to the budget's chunk; what is in hand comes out before an error."""
    held, size = list[bytes | bytearray](), 0
    failure: Exception | None = None
    try:
        for part in parts:
            budget.spend(len(part))
            _append(held, part)
            size += len(part)
            del part  # a few bytes may have made much, and the next may, too
            if size >= budget.chunk:
                budget.work()
                yield b"".join(held)
                held, size = [], 0
    except _DAMAGE as error:
        failure = _failed(error, budget.limits)
    except ObjectBroken as error:
        failure = error
    if held:
        yield b"".join(held)
    if failure:
        raise failure


def _failed(error: Exception, limits: DecodeLimits) -> ObjectBroken:
    if any(told in str(error) for told in _TOO_MUCH_MEMORY):
        what = f"a window of more than {limits.max_window_bytes} bytes"
        hint = "raise max_window_bytes if this object is genuine"
        return ObjectTooLarge(what, "object", hint, reason="object_bomb")
    return broken("inflate_failed", f"compressed data is damaged ({error})")


def _append(held: list[bytes | bytearray], part: bytes) -> None:
    """Put a part at the end; tiny ones share one element, half a million of them would take much memory."""
    if len(part) > _TINY:
        held.append(part)
    elif held and isinstance(held[-1], bytearray):
        held[-1] += part
    else:
        held.append(bytearray(part))


def _gunzip(stored: StoredBytes) -> Iterator[bytes]:
    members = 0
    while data := stored.take(_FIRST_STEP):
        if members and not (data := data.lstrip(b"\0")):
            continue
        if len(data) < len(GZIP):
            data += stored.take(_FIRST_STEP)
        if members and not data.startswith(GZIP):
            raise broken("gzip_garbage", "bytes after the last gzip member are not gzip")
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        yield from _member(member, data, stored)
        stored.back(len(member.unused_data))
        members += 1


def _member(member: Any, data: bytes, stored: StoredBytes) -> Iterator[bytes]:
    step = _FIRST_STEP
    while not member.eof:
        if member.needs_input and not data:
            step = min(2 * step, _GZIP_STEP)
            data = stored.take(step)
            if not data:
                raise broken("gzip_truncated", "a gzip member has no end", _CUT_SHORT)
        part = member.decompress(data, max_length=CHUNK_BYTES)
        data = b""
        if part:
            yield part


def _unzstd(stored: StoredBytes, window: int) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=window)
    frame = None
    while data := stored.take(_ZSTD_STEP):
        frame = frame or decompressor.decompressobj()
        if part := frame.decompress(data):
            yield part
        del part
        if frame.eof:
            stored.back(len(frame.unused_data))
            frame = None
    if frame is not None:
        raise broken("zstd_truncated", "a zstd frame has no end", _CUT_SHORT)
