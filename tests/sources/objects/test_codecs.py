"""What the collector can inflate it does, within the same bounds as gzip; what is no text never goes out."""

import bz2
import gzip
import io
import lzma
import random
import resource
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from sources.errors import ObjectBroken, Transient
from sources.objects.decode import DecodeLimits, Layout, head, read
from sources.objects.decoded_chunk import CHUNK_BYTES
from sources.objects.text_check import not_text
from tests.sources.objects.decoding import LINES, collect, noise
from transforms import vpcflow

TEXT = b"\n".join(noise(20_000)) + b"\n"
CSV = Layout(is_header=lambda _line: True, quoted=True, separator=b",")
FLOW = Layout(is_header=vpcflow.is_header)


def zipped(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as file:
        for name, body in members:
            file.writestr(name, body)
    return out.getvalue()


def arrow(name: str):
    def packed(body: bytes) -> bytes:
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, name) as stream:
            stream.write(body)
        return out.getvalue().to_pybytes()

    return packed


def snappy(body: bytes) -> bytes:
    out = [b"\xff\x06\x00\x00sNaPpY", b"\xfe\x03\x00\x00pad"]
    for at in range(0, len(body), 60_000):
        part = body[at : at + 60_000]
        packed = pa.compress(part, codec="snappy", asbytes=True)
        kind, data = (0, packed) if len(packed) < len(part) else (1, part)
        out += [bytes([kind]) + (len(data) + 4).to_bytes(3, "little") + bytes(4), data]
    return b"".join(out)


CODECS = {
    "bz2": bz2.compress,
    "bz2 streams": lambda body: bz2.compress(body[:70_001]) + bz2.compress(body[70_001:]),
    "xz": lambda body: lzma.compress(body, preset=1),
    "xz streams": lambda body: lzma.compress(body[:70_001]) + bytes(8) + lzma.compress(body[70_001:]),
    "zlib": zlib.compress,
    "zlib fast": lambda body: zlib.compress(body, 1),
    "lz4": arrow("lz4"),
    "snappy": snappy,
    "zip": lambda body: zipped(("a.log", body)),
    "zip stored": lambda body: zipped(("d/", b""), ("d/a.log", body), how=zipfile.ZIP_STORED),
    "zip bz2": lambda body: zipped(("a.log", body), how=zipfile.ZIP_BZIP2),
    "brotli": arrow("brotli"),
    "gzip of bz2": lambda body: gzip.compress(bz2.compress(body)),
}


def told(stored: bytes, layout: Layout = LINES, name: str = "", limits: DecodeLimits | None = None):
    try:
        pieces = list(read(io.BytesIO(stored), layout, limits or DecodeLimits(), name))
    except Exception as error:  # noqa: BLE001 - its reason is looked at
        return b"", getattr(error, "reason", repr(error))
    return b"".join(piece.payload for piece in pieces), ""


@pytest.mark.parametrize("name", CODECS)
def test_r4_what_can_be_inflated_is(name):
    """Every common compression is told by its first bytes, brotli by its key; the lines are the same."""
    stored = CODECS[name](TEXT)
    assert told(stored, name="a/b.br" if name == "brotli" else "a/b.log") == (TEXT, "")
    key = "b.br" if name == "brotli" else ""
    assert head(io.BytesIO(stored), 100, key) == TEXT[:100]


@pytest.mark.parametrize("name", [name for name in CODECS if not name.startswith(("zip", "gzip"))])
def test_r4_cut_short_is_told(name):
    """What came before comes out, then a reason; nothing is silent."""
    stored = CODECS[name](TEXT)
    for end in (len(stored) // 2, len(stored) - 3):
        reason = told(stored[:end], name="b.br")[1]
        assert reason in {"inflate_truncated", "inflate_failed", "snappy_truncated", "not_text"}


@pytest.mark.parametrize("name", ["bz2", "xz", "zlib", "lz4", "snappy", "zip", "brotli"])
def test_r4_bombs_are_bounded(name):
    """A small object that stands for much is a bomb, as in gzip."""
    stored = CODECS[name](b"a\n" * (40 << 20))
    assert told(stored, name="b.br", limits=DecodeLimits(max_ratio=20))[1] == "object_bomb"


@pytest.mark.parametrize("name", ["bz2", "lz4", "brotli", "xz", "zip"])
def test_r4_a_lost_connection_is_no_damage(name):
    """What reading raises passes as it is."""

    class Lost(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > 1000:
                raise Transient("lost", "here", "again")
            return super().read(min(size, 1001))

    with pytest.raises(Transient):
        list(read(Lost(CODECS[name](TEXT)), LINES, DecodeLimits(), "b.br"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("before", range(1, 7))
def test_r4_a_stream_may_begin_at_the_end_of_a_chunk(pack, before):
    """What is put together of streams is read whole, wherever the mark of one is cut by the reading."""
    first, second = pack(TEXT[:70_001]), pack(TEXT[70_001:])
    stored = first + bytes(CHUNK_BYTES - before - len(first)) + second
    assert told(stored) == (TEXT, "")


def test_a14_windows_are_bounded():
    """An xz dictionary of 64 MiB needs the setting, as a zstd window does."""
    stored = lzma.compress(TEXT, preset=9)
    assert told(stored)[1] == "object_bomb"
    assert told(stored, limits=DecodeLimits(max_window_bytes=64 << 20)) == (TEXT, "")


def test_r4_what_is_damaged_leaves_no_memory_behind():
    """A hundred damaged objects cost no address space: a decoder's buffers go with its error."""

    def size():
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    for name in ("lz4", "brotli"):
        stored = CODECS[name](TEXT[:5000])[:-5]
        told(stored, name="b.br")
        before = size()
        for _ in range(100):
            told(stored, name="b.br")
        assert size() - before < 64 << 20, name


_RANDOM = random.Random(1)
BINARY = {
    "zip of two": zipped(("a", b"x\n"), ("b", b"y\n")),
    "zip of a picture": zipped(("a.png", b"\x89PNG\r\n\x1a\n" + _RANDOM.randbytes(500))),
    "empty zip": zipped(),
    "cut zip": zipped(("a", TEXT))[:50_000],
    "png": b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + _RANDOM.randbytes(100),
    "pdf": b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(9) + _RANDOM.randbytes(50),
    "tar": b"a.log".ljust(100, b"\0")
    + b"0000644\0" * 3
    + b"0" * 24
    + bytes(109)
    + b"ustar\x0000"
    + bytes(1000),
    "orc": b"ORC" + bytes(range(32)) * 9,
    "avro": b"Obj\x01\x04\x16avro.schema",
    "noise": _RANDOM.randbytes(3000),
    "encrypted": b"Salted__" + _RANDOM.randbytes(300),
    "java": b"\xca\xfe\xba\xbe" + bytes(range(64)) * 3,
    "lzma alone": lzma.compress(TEXT[:2000], lzma.FORMAT_ALONE),
    "raw deflate": zlib.compress(b"alpha one two\nbeta three\n")[2:-4],
    "raw deflate of much": zlib.compress(TEXT[:5000])[2:-4],
    "raw lz4": pa.compress(b"alpha one two\nbeta three\n" * 20, codec="lz4_raw", asbytes=True),
    "old lz4": b"\x02\x21\x4c\x18\x30\0\0\0\xf0\x0aalpha one two\n",
    "raw snappy of Hadoop": b"\0\0\0\x19\0\0\0\x1b\x19\x60alpha one two\nbeta three\n",
    "brotli without its suffix": arrow("brotli")(b"alpha one two\nbeta three\n"),
    "LZO": b"\x89LZO\0\r\n\x1a\nalpha one two\n",
    "compress": b"\x1f\x9d\x90" + bytes(range(100, 160)),
    "EBCDIC": "some log line\n".encode("cp500"),
    "gzip thrice": gzip.compress(gzip.compress(gzip.compress(TEXT))),
}


@pytest.mark.parametrize("layout", [LINES, CSV, FLOW, Layout(values=True), Layout(records="Records")])
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_r4_what_is_no_text_never_goes_out(name, layout, packed):
    """Binary data is quarantined before anything of it is an event, whatever the service."""
    out, reason = told(packed(BINARY[name]), layout)
    assert (out, reason) == (b"", "not_text")


@pytest.mark.parametrize("encoding", ["shift-jis", "cp1251", "koi8-r", "gbk", "cp500"])
def test_r4_text_of_another_encoding_is_told_how_to_be_read(encoding):
    """Of what may be text in an older encoding the hint names UTF-8: to keep it out would lose it."""
    text = (
        "журнал: 日本\n"
        if encoding in {"shift-jis", "gbk"}
        else "HELLO LOG\n"
        if encoding == "cp500"
        else "журнал\n"
    )
    with pytest.raises(ObjectBroken, match=r"UTF-8.*have it written in UTF-8"):
        list(read(io.BytesIO(text.encode(encoding) * 20), LINES, DecodeLimits()))


def test_r4_a_suffix_that_lies():
    """Text whose key ends in `.br` is text."""
    assert told(TEXT, name="a.br") == (TEXT, "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_r4_utf_16_is_told_with_and_without_its_mark(encoding):
    """Two bytes a character is told for what it is."""
    assert told("some log line 1\nanother one\n".encode(encoding))[1] == "encoding_unknown"


@pytest.mark.parametrize(
    "text",
    [
        "déjà vu: café à la crème\n".encode("latin-1") * 50,
        b"a\0b\n" + b"text that goes on\n" * 10,
        bytes(5000) + b"text\n",
        b"text\n" + bytes(5000),
        "日本語のログ\n".encode() * 100,
        b"\x1b[31mred\x1b[0m\n" * 50,
        b"ORC is a format\n",
        b"x^2 + y\n",
        b"BZh is the mark of bz2\n",
        b"\xff\n",
        b"He said \x93hi\x94\n",
        "Größe: über 3 €\n".encode("cp1252"),
        "日本語のログ".encode()[:-1],
        b'flow \xff\xfe\x81 10.0.0.1 10.0.0.2 443 "a" ACCEPT OK\n',
    ],
    ids=range(14),
)
def test_r4_text_in_any_state_passes(text):
    """Latin-1, NULs here and there, padding, colours, and words that look like marks are text."""
    assert not not_text(text)
    assert not collect(text)[1]
