"""Compression that is seldom met: bz2, xz, zlib, lz4, snappy, brotli, and a zip of one member.

Each takes and gives chunks as those in `inflate.py`, in bounded memory; none is imported before it is needed.
"""

import bz2
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from isal import igzip_lib

from sources.objects.decoded_chunk import CHUNK_BYTES, Budget, broken
from sources.objects.stored_bytes import StoredBytes, spooled
from transforms import arrow as pa

Parts = Callable[[StoredBytes, Budget], Iterator[bytes]]

BZ2, XZ, LZ4 = b"BZh", b"\xfd7zXZ\x00", b"\x04\x22\x4d\x18"
SNAPPY = b"\xff\x06\x00\x00sNaPpY"
ZIP = b"PK\x03\x04"
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PRINTABLE = bytes({*b"\t\r\n", *range(0x20, 0x7F)})
BROTLI_SUFFIX = ".br"

_STEP = 1 << 16
_SNAPPY_BLOCK = 1 << 16
_ZIP_LENGTHS = 26
_ZIP_TAIL = 22 + (1 << 16)
_ZIP_END = b"PK\x05\x06"
_ZIP_DIRECTORY = 1 << 17
_ENCRYPTED = 1
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_XZ_OVERHEAD = 1 << 20
_CUT_SHORT = "the upload or download was cut short; look at the object in its bucket"

DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
)


def codec(head: bytes, name: str) -> Parts | None:
    """Return what inflates an object with these first bytes; brotli, which has no mark, by its name."""
    if head.startswith(BZ2) and head[4:10] in _BZ2_BLOCKS:
        return bunzip2
    if head.startswith(_ZLIB) and not head.isascii():
        return unzlib
    marks: tuple[tuple[bytes, Parts], ...] = ((XZ, unxz), (LZ4, unlz4), (SNAPPY, unsnappy), (ZIP, unzip))
    found = next((parts for mark, parts in marks if head.startswith(mark)), None)
    return found or (unbrotli if name.endswith(BROTLI_SUFFIX) and head.translate(None, _PRINTABLE) else None)


def bunzip2(stored: StoredBytes, _budget: Budget) -> Iterator[bytes]:
    """Inflate bz2 streams one after the other."""
    return _streams(stored, bz2.BZ2Decompressor, BZ2)


def unxz(stored: StoredBytes, budget: Budget) -> Iterator[bytes]:
    """Inflate xz streams one after the other; zeros between are padding."""
    most = budget.limits.max_window_bytes + _XZ_OVERHEAD
    return _streams(stored, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=most), XZ)


def unzlib(stored: StoredBytes, _budget: Budget) -> Iterator[bytes]:
    """Inflate one zlib stream."""
    return _streams(stored, lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB), _ZLIB)


def unlz4(stored: StoredBytes, _budget: Budget) -> Iterator[bytes]:
    """Inflate lz4 frames."""
    return _by_arrow(stored, "lz4")


def unbrotli(stored: StoredBytes, _budget: Budget) -> Iterator[bytes]:
    """Inflate a brotli stream."""
    return _by_arrow(stored, "brotli")


def unsnappy(stored: StoredBytes, _budget: Budget) -> Iterator[bytes]:
    """Inflate snappy's framing format.

    https://github.com/google/snappy/blob/main/framing_format.txt
    """
    plain = pa.Codec("snappy")
    while head := stored.exactly(4, "snappy_truncated"):
        kind, size = head[0], int.from_bytes(head[1:], "little")
        data = stored.exactly(size, "snappy_truncated") if size else b""
        if kind == 0x00:  # compressed, behind a checksum
            yield plain.decompress(data[4:], decompressed_size=_snappy_size(data[4:]), asbytes=True)
        elif kind == 0x01:  # as it is, behind a checksum
            yield data[4:]
        elif 0x02 <= kind <= 0x7F:  # noqa: PLR2004 - reserved, must not be skipped
            raise broken("inflate_failed", f"a snappy chunk of an unknown kind {kind}")


def _snappy_size(block: bytes) -> int:
    """Return the inflated size that stands first in a block, a number of seven bits a byte."""
    size = 0
    for at, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * at
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no high bit
            break
    if size > _SNAPPY_BLOCK:
        raise broken("inflate_failed", f"a snappy block of {size} bytes, more than the format allows")
    return size


def unzip(stored: StoredBytes, budget: Budget) -> Iterator[bytes]:
    """Inflate the one member of a zip, whose directory stands at its end: the object is held as a whole."""
    with spooled(iter(lambda: stored.take(_STEP), b""), budget) as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            odd = [
                one for one in members if one.flag_bits & _ENCRYPTED or one.compress_type not in _ZIP_METHODS
            ]
            if len(members) != 1 or odd:
                what = f"a zip of {len(members)} members, or of one that is encrypted or packed in a rare way"
                raise broken("not_text", what, "have each file written as an object of its own")
            if (
                members[0].compress_type == zipfile.ZIP_BZIP2
            ):  # whose `read` has no bound: 4 KiB may be gigabytes
                yield from bunzip2(StoredBytes(_packed(file, members[0])), budget)
                return
            with archive.open(members[0]) as member:
                while part := member.read(CHUNK_BYTES):
                    yield part


def _packed(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a member's bytes as they are stored, behind its local header."""
    file.seek(member.header_offset + _ZIP_LENGTHS)
    name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    file.seek(name + extra, io.SEEK_CUR)
    left = member.compress_size
    while part := file.read(min(left, _STEP)):
        left -= len(part)
        yield part


def _check_directory(file: IO[bytes]) -> None:
    """Raise ObjectBroken for a zip without an end, or whose directory is more than a few entries."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _ZIP_TAIL))
    tail = file.read()
    at = tail.rfind(_ZIP_END)
    if at < 0 or int.from_bytes(tail[at + 12 : at + 16], "little") > _ZIP_DIRECTORY:
        raise broken("not_text", "a zip without an end, or of many members", _CUT_SHORT)


def _streams(
    stored: StoredBytes, make: Callable[[], Any], mark: bytes | tuple[bytes, ...]
) -> Iterator[bytes]:
    first = True
    while data := stored.take(_STEP):
        if not first and not (data := data.lstrip(b"\0")):
            continue
        if not first and len(data) < len(XZ):  # a mark may lie across two chunks
            data += stored.take(_STEP)
        if not first and not data.startswith(mark):
            raise broken("inflate_failed", "bytes behind the last compressed stream are none")
        stream = make()
        while not stream.eof:
            if stream.needs_input and not data and not (data := stored.take(_STEP)):
                raise broken("inflate_truncated", "a compressed stream has no end", _CUT_SHORT)
            part = stream.decompress(data, CHUNK_BYTES)
            data = b""
            if part:
                yield part
        stored.back(len(stream.unused_data))
        first = False


class _Pulled(io.RawIOBase):
    """Stored bytes as a file for Arrow."""

    def __init__(self, stored: StoredBytes) -> None:
        self._stored = stored

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._stored.take(size if size > 0 else _STEP)


def _by_arrow(stored: StoredBytes, name: str) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(_Pulled(stored), mode="r"), name)
    while True:
        try:
            part = stream.read_buffer(CHUNK_BYTES).to_pybytes()  # its `read` leaks what it has when it fails
        except (OSError, pa.ArrowException) as error:
            if stored.failure:
                raise
            cut = "runcated" in str(error)
            raise broken(
                "inflate_truncated" if cut else "inflate_failed", f"compressed data is damaged ({error})"
            ) from error
        if not part:
            return
        yield part
