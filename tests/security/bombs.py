"""Hostile objects of every form, each a few kilobytes or megabytes that ask for far more."""

import bz2
import gzip
import io
import lzma
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

MIB = 1 << 20
Maker: TypeAlias = Callable[[], Iterator[bytes]]
_LINE = b"2 123456789012 eni-0 10.0.0.1 10.0.0.2 1 2 6 1 1 1 1 ACCEPT OK\n"


def gzipped(block: bytes, times: int) -> Iterator[bytes]:
    """Yield one gzip member of a block repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(times):
        yield packer.compress(block)
    yield packer.flush()


def zstd_runs(times: int) -> Iterator[bytes]:
    """Yield one zstd frame of blocks that are one byte repeated: four bytes for 128 KiB each."""
    yield b"\x28\xb5\x2f\xfd\x00\x58"  # no size told, a window of 2 MiB
    size = (128 << 10) << 3 | 1 << 1
    yield (size.to_bytes(3, "little") + b"\n") * times
    yield ((size | 1).to_bytes(3, "little")) + b"\n"


def zstd_window(log: int) -> bytes:
    """Return a frame that asks for a window of 2 to the power of log bytes."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x09\x00\x00x"


def parquet(columns: dict[str, object], **options: object) -> bytes:
    """Return a Parquet file."""
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def constant(value: str, rows: int) -> object:
    """Return a column that holds one value in every row, and is a few bytes in a file."""
    return pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()).take(pa.array([0] * 1)), [value]).take(
        pa.array(memoryview(bytes(4 * rows)).cast("i"), pa.int32())
    )


def claiming(size: int) -> bytes:
    """Return a Parquet file whose first page claims to hold so many bytes uncompressed."""
    noise = random.Random(1).randbytes(50_000).hex()
    whole = parquet({"a": [noise]}, compression="zstd", use_dictionary=False, write_statistics=False)
    head, told, rest = whole[:7], *_read_varint(whole[7:])
    assert head == b"PAR1\x15\x00\x15"
    assert told > 2 * 100_000
    assert rest[:1] == b"\x15"
    packed, data = _read_varint(rest[1:])
    claim = _varint(2 * size)
    missing = len(claim) - len(_varint(told))
    return head + claim + b"\x15" + _varint(packed - 2 * missing) + data[missing:]


def _read_varint(data: bytes) -> tuple[int, bytes]:
    end = next(at for at, byte in enumerate(data) if byte < 0x80) + 1
    return sum((byte & 0x7F) << 7 * at for at, byte in enumerate(data[:end])), data[end:]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def zipped(method: int, data: bytes) -> bytes:
    """Return a zip of one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("log", data)
    return out.getvalue()


def xz_dictionary(size: int) -> bytes:
    """Return an xz stream that asks for so large a dictionary."""
    kind = {"id": lzma.FILTER_LZMA2, "dict_size": size, "preset": 0}
    return lzma.compress(b"x\n", lzma.FORMAT_XZ, filters=[kind])


def once(data: bytes) -> Maker:
    """Return the maker of an object that is made at once."""
    return lambda: iter([data])


def repeated(block: bytes, times: int, before: bytes = b"", after: bytes = b"") -> Maker:
    """Return the maker of a block repeated."""

    def make() -> Iterator[bytes]:
        yield before
        yield from (block for _ in range(times))
        yield after

    return make


BOMBS: dict[str, tuple[str, str, Maker]] = {
    "gzip of lines": ("lines", "object_bomb", lambda: gzipped(b"a\n" * (MIB // 2), 140)),
    "gzip of one line": ("lines", "line_too_long", lambda: gzipped(b" " * MIB, 64)),
    "gzip of NULs": ("lines", "line_too_long", lambda: gzipped(bytes(MIB), 64)),
    "gzip of gzip": ("lines", "object_bomb", lambda: gzipped(b"".join(gzipped(_LINE * 16_384, 64)) * 4, 8)),
    "gzip of tiny members": ("lines", "", repeated(gzip.compress(b"x\n", 1, mtime=0) * 1000, 200)),
    "gzip of empty members": ("lines", "", repeated(gzip.compress(b"", 1, mtime=0) * 1000, 200)),
    "zstd of runs": ("lines", "object_bomb", lambda: zstd_runs(60_000)),
    "zstd of one line": (
        "lines",
        "line_too_long",
        once(zstandard.ZstdCompressor().compress(b" " * (64 * MIB))),
    ),
    "zstd of tiny frames": ("lines", "", repeated(zstandard.ZstdCompressor().compress(b"x\n") * 1000, 300)),
    "zstd of a huge window": ("lines", "object_bomb", once(zstd_window(31))),
    "zstd of a window of 64 MiB": ("lines", "object_bomb", once(zstd_window(26))),
    "zstd of empty skippable frames": ("lines", "", repeated((b"\x50\x2a\x4d\x18" + bytes(4)) * 1000, 300)),
    "zip of bz2": ("lines", "object_bomb", lambda: iter([zipped(zipfile.ZIP_BZIP2, bytes(256 * MIB))])),
    "zip of lzma": ("lines", "not_text", lambda: iter([zipped(zipfile.ZIP_LZMA, bytes(64 * MIB))])),
    "zip of one line": (
        "lines",
        "line_too_long",
        lambda: iter([zipped(zipfile.ZIP_DEFLATED, bytes(64 * MIB))]),
    ),
    "gzip of a name without end": (
        "lines",
        "gzip_truncated",
        repeated(b"n" * MIB, 64, b"\x1f\x8b\x08\x08" + bytes(6)),
    ),
    "bz2 of one line": ("lines", "line_too_long", lambda: iter([bz2.compress(bytes(64 * MIB))])),
    "bz2 of tiny streams": ("lines", "", repeated(bz2.compress(b"x\n") * 1000, 100)),
    "xz of a dictionary of gigabytes": ("lines", "object_bomb", lambda: iter([xz_dictionary(1536 * MIB)])),
    "xz of empty streams": ("lines", "", repeated(lzma.compress(b"") * 1000, 100)),
    "snappy of skipped chunks": (
        "lines",
        "",
        repeated(b"\xfe\xff\xff\xff" + bytes(0xFFFFFF), 4, b"\xff\x06\0\0sNaPpY"),
    ),
    "a line too long, again and again": ("lines", "", repeated(b"x" * (17 * MIB) + b"\nx\n", 6)),
    "a line without end": ("lines", "line_too_long", repeated(b"x" * MIB, 64)),
    "blank lines": ("lines", "", repeated(b"\n" * MIB, 64)),
    "carriage returns": ("lines", "", repeated(b"\r" * MIB, 64)),
    "a quote never closed": ("csv", "", repeated(b'"2026-01-02 03:04:05","a\n' + b"b,c\n" * 200_000, 2)),
    "every quote open": ("csv", "", repeated(b'a,"b\n' * 200_000, 1)),
    "a field without end": ("csv", "line_too_long", repeated(b"x" * MIB, 64, b'"')),
    "millions of tiny elements": ("records", "", repeated(b"1," * (MIB // 2), 3, b'{"Records":[', b"1]}")),
    "millions of tiny objects": ("records", "", repeated(b"{}," * (MIB // 4), 1, b"[", b"{}]")),
    "millions of tiny values": ("values", "", repeated(b"{}" * (MIB // 2), 3)),
    "small documents in a row": ("records", "", repeated(b'{"Records":[{"a":1}]}', 200_000)),
    "small documents of two": ("records", "", repeated(b'{"Records":[{"a":1},{"a":2}]}', 200_000)),
    "a record without end": (
        "records",
        "record_too_large",
        repeated(b"x" * MIB, 64, b'{"Records":[{"a":"'),
    ),
    "a key before the records": (
        "records",
        "record_too_large",
        repeated(b"x" * MIB, 64, b'{"a":"', b'","Records":[]}'),
    ),
    "a key after the records": (
        "records",
        "",
        repeated(b"x" * MIB, 64, b'{"Records":[1],"a":"', b'"}'),
    ),
    "a value without end": ("values", "record_too_large", repeated(b"x" * MIB, 64, b'{"a":"')),
    "deep arrays in records": ("records", "json_broken", repeated(b"[" * MIB, 16, b'{"Records":[')),
    "deep objects in values": ("values", "json_broken", repeated(b'{"a":' * 100_000, 16)),
    "deep values in an envelope": ("carried", "json_broken", repeated(b'{"detail":' * 100_000, 4)),
    "Parquet of one value in every row": (
        "parquet",
        "object_bomb",
        lambda: iter([parquet({"a": constant("x" * 40, 4_000_000)})]),
    ),
    "Parquet of a long value in every row": (
        "parquet",
        "object_bomb",
        lambda: iter([parquet({"a": constant("x" * MIB, 1_000_000)})]),
    ),
    "Parquet of many columns": (
        "parquet",
        "",
        lambda: iter([parquet({f"c{n}": [n] for n in range(10_000)})]),
    ),
    "Parquet of too many columns": (
        "parquet",
        "parquet_too_large",
        lambda: iter([parquet({f"c{n}": [n] for n in range(60_000)})]),
    ),
    "Parquet of a footer without end": (
        "parquet",
        "parquet_broken",
        once(b"PAR1" + bytes(64) + struct.pack("<I", 0xFFFFFFF0) + b"PAR1"),
    ),
    "Parquet of a page that claims gigabytes": (
        "parquet",
        "parquet_too_large",
        lambda: iter([claiming(0x7FFF0000 // 2)]),
    ),
}
"""Name → (layout, reason of the quarantine or "" when it is an object like any other, what makes it)."""
