"""Objects of any compression and any state of repair become whole events, in bounded memory."""

import bz2
import gzip
import io
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.errors import ObjectBroken, ObjectTooLarge
from sources.objects import decoded_chunk
from sources.objects.decode import DecodeLimits, Layout, head, read, skip
from sources.objects.decoded_chunk import CHUNK_BYTES
from tests.sources.objects.decoding import LINES, RECORDS, Body, collect, decoded, events, joined, noise

TEXT = b"one\ntwo\nthree\n"
THREE = [b"one", b"two", b"three"]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(b"one\nt") + gzip.compress(b"wo\nthree\n"),
        gzip.compress(TEXT) + gzip.compress(b""),
        gzip.compress(b"") + gzip.compress(TEXT),
        gzip.compress(TEXT) + b"\0" * 512,
        gzip.compress(b"one\n") + b"\0" * 512 + gzip.compress(b"two\nthree\n"),
        gzip.compress(gzip.compress(TEXT)),
        zstd(TEXT),
        zstd(b"one\nt") + zstd(b"wo\nthree\n"),
        SKIPPABLE + zstd(TEXT),
        gzip.compress(zstd(TEXT)),
    ],
    ids=[
        "plain", "gzip", "two members", "empty member last", "empty member first", "padded", "padded between",
        "gzip in gzip", "zstd", "two frames", "skippable frame", "zstd in gzip",
    ],
)  # fmt: skip
def test_h08_compression_is_told_by_content(stored):
    """Neither a name nor a header is asked: the first bytes tell how an object is compressed."""
    assert events(stored) == THREE


@pytest.mark.parametrize(
    ("stored", "reason", "least"),
    [
        (gzip.compress(TEXT)[:-4], "gzip_truncated", 3),
        (gzip.compress(TEXT)[:12], "gzip_truncated", 0),
        (gzip.compress(TEXT)[:2], "gzip_truncated", 0),
        (gzip.compress(TEXT) + gzip.compress(TEXT)[:-9], "gzip_truncated", 6),
        (gzip.compress(TEXT) + b"garbage", "gzip_garbage", 3),
        (gzip.compress(TEXT) + b"\x1f", "gzip_garbage", 3),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, "inflate_failed", 0),
        (b"\x1f\x8b not gzip at all, whatever it begins with", "inflate_failed", 0),
        (zstd(TEXT)[:-3], "zstd_truncated", 2),
        (zstd(TEXT) + b"garbage", "inflate_failed", 3),
    ],
    ids=[
        "no trailer", "cut in data", "magic only", "second member cut", "garbage", "half a magic",
        "wrong checksum", "no gzip", "zstd cut", "zstd garbage",
    ],
)  # fmt: skip
def test_h08_damaged_compression_gives_the_good_part_first(stored, reason, least):
    """What inflated well comes out, only whole lines of it, and then the error says what is wrong."""
    found, error = collect(stored)
    assert (found, error.reason) == ((THREE * 2)[:least], reason)
    assert error.record == least
    assert str(least) in error.where
    assert error.hint


def test_h08_truncated_gzip_keeps_whole_lines_only():
    """The line in which a download was cut is not an event; those before it are."""
    lines = noise(40_000)
    stored = gzip.compress(b"\n".join(lines) + b"\n")
    found, error = collect(stored[: len(stored) // 2])
    assert error.reason == "gzip_truncated"
    assert 15_000 < len(found) == error.record
    assert found == lines[: len(found)]


def test_h08_plain_text_named_gz():
    """Plain text is plain text, also when its bytes come a few at a time."""
    pieces = decoded(TEXT, sizes=[1, 1, 1, 2, 3])
    assert joined(pieces) == TEXT


def test_h08_an_empty_object_has_no_events():
    """An empty object, an empty gzip and one of blank lines hold nothing and are no error."""
    for stored in (b"", gzip.compress(b""), b"\n\r\n\n", b"\xef\xbb\xbf", zstd(b"")):
        for layout in (LINES, RECORDS):
            assert decoded(stored, layout) == []


def test_h08_utf_16_is_refused():
    """Text in UTF-16 would become nonsense: it is an error that says so."""
    assert collect("eins\nzwei\n".encode("utf-16"))[1].reason == "encoding_unknown"


def test_h09_a_bomb_of_lines_stops_at_the_ratio():
    """Megabytes that inflate a thousandfold are refused, and only a few of them are ever in memory."""
    line = b"2 123456789012 eni-0 10.0.0.1 10.0.0.2 1 2 6 1 1 1 1 ACCEPT OK\n"
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    stored = b"".join(compressor.compress(line * 16_384) for _ in range(100)) + compressor.flush()
    tracemalloc.start()
    count, error = 0, None
    try:
        for piece in read(Body(stored), LINES, DecodeLimits(max_ratio=50)):
            count += piece.count
    except ObjectTooLarge as caught:
        error = caught
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error is not None
    assert error.reason == "object_bomb"
    assert count == error.record > 100_000
    assert peak < len(stored) + (24 << 20)


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_h09_a_bomb_of_one_line_stops_at_the_longest_line(compress):
    """A gigabyte without a newline is refused after some megabytes."""
    stored = compress(b"\x20" * (48 << 20))
    tracemalloc.start()
    assert collect(stored)[1].reason == "line_too_long"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


MANY_LINES = b"".join(b"line %d\n" % number for number in range(600_000))
MUCH_WORK = {
    "lines": (LINES, MANY_LINES),
    "gzip": (LINES, gzip.compress(MANY_LINES, 1)),
    "gzip twice": (LINES, gzip.compress(gzip.compress(MANY_LINES, 1), 1)),
    "zstd": (LINES, zstandard.compress(MANY_LINES)),
    "bz2": (LINES, bz2.compress(MANY_LINES, 1)),
    "array": (RECORDS, b'{"Records": [%s]}' % b",".join([b'{"a": "%s"}' % (b"v" * 900)] * 6000)),
    "values": (Layout(values=True), b'{"a": "%s"}' % (b"v" * 900) * 6000),
    "no line": (LINES, gzip.compress(b" " * (40 << 20))),
    "empty members": (LINES, gzip.compress(b"a\n") + gzip.compress(b"") * 300_000),
    "empty lines": (LINES, b"\n" * (8 << 20)),
}


@pytest.mark.parametrize("how", MUCH_WORK)
def test_a14_processor_time_of_an_object_is_bounded(how, monkeypatch):
    """Whatever keeps the processor busy, also without an event; what came before is not lost."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(decoded_chunk.time, "thread_time", lambda: float(next(seconds)))
    layout, stored = MUCH_WORK[how]
    _, error = collect(stored, layout, DecodeLimits(max_cpu_seconds=2))
    assert isinstance(error, ObjectTooLarge)
    assert error.reason == "object_bomb"
    assert "more than 2 s of processor time" in error.what
    assert "max_object_cpu_seconds" in error.hint
    seconds = iter(range(10_000))
    assert collect(stored, layout, DecodeLimits(max_cpu_seconds=9000))[1] is None or how == "no line"


def test_a14_a_reader_in_another_thread_has_its_own_processor_time(monkeypatch):
    """Whoever goes on with an object may have computed for days before."""
    used = threading.local()
    monkeypatch.setattr(decoded_chunk.time, "thread_time", lambda: getattr(used, "seconds", 1e6))
    used.seconds = 0.0
    pieces = read(Body(MANY_LINES), LINES, DecodeLimits(max_cpu_seconds=2))
    first = next(pieces)
    with ThreadPoolExecutor(1) as other:
        rest = other.submit(list, pieces).result()
    assert first.count + sum(piece.count for piece in rest) == 600_000


def test_h09_a_size_limit_holds_for_plain_objects_too():
    """Uncompressed size is what the limit means; the pieces before it come out."""
    lines = noise(40_000)
    found, error = collect(b"\n".join(lines), limits=DecodeLimits(max_bytes=CHUNK_BYTES + 1))
    assert isinstance(error, ObjectTooLarge)
    assert error.reason == "object_bomb"
    assert found == lines[: len(found)]
    assert found


def test_h09_gzip_in_gzip_in_gzip_is_not_followed():
    """Two layers are seen in the wild; a third is taken for what it is, no text."""
    found, error = collect(gzip.compress(gzip.compress(gzip.compress(TEXT))))
    assert (found, error.reason) == ([], "not_text")


def test_errors_of_the_body_pass():
    """A lost connection is no damage of the object: it is tried again, so it must stay what it is."""

    class Lost(Body):
        def read(self, size):
            if len(self.asked) == 2:
                raise ConnectionResetError
            return super().read(size)

    pieces = read(Lost(b"\n".join(noise(40_000))), LINES, DecodeLimits())
    assert next(pieces).count
    with pytest.raises(ConnectionResetError):
        list(pieces)


def test_reads_are_bounded():
    """No read asks for more than a chunk: a body of any size passes through."""
    body = Body(b"\n".join(noise(40_000)))
    assert list(read(body, LINES, DecodeLimits()))
    assert max(body.asked) <= CHUNK_BYTES


def document(lines: list[bytes]) -> bytes:
    return b'{"Records":[' + b",".join(b'{"v":"%s","n":{"v":1}}' % line for line in lines) + b"]}"


BIG = noise(45_000)
SHAPES = [
    (LINES, b"\n".join(BIG)),
    (Layout(quoted=True), b"\n".join(b'"%s","a ""b"""' % line for line in BIG)),
    (RECORDS, document(BIG)),
]


@pytest.mark.parametrize(("layout", "plain"), SHAPES, ids=["lines", "quoted", "records"])
@given(
    sizes=st.lists(st.integers(1, 1 << 19), max_size=12), packed=st.sampled_from([bytes, gzip.compress, zstd])
)
@settings(max_examples=6, deadline=None)
def test_pieces_do_not_depend_on_reads(layout, plain, sizes, packed):
    """However the network cuts an object, the same pieces come out: a resume can count on them."""
    level = {"compresslevel": 1} if packed is gzip.compress else {}
    stored = packed(plain, **level)
    pieces = decoded(stored, layout)
    assert decoded(stored, layout, sizes=sizes) == pieces
    assert len(pieces) > 2


@pytest.mark.parametrize(("layout", "plain"), SHAPES, ids=["lines", "quoted", "records"])
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_skip_goes_on_where_a_former_run_ended(layout, plain, data):
    """What is left after any number of events is exactly the rest."""
    pieces = decoded(plain, layout)
    every = joined(pieces).split(b"\n")[:-1]
    borders = [piece.records for piece in pieces]
    done = data.draw(st.one_of(st.sampled_from([0, *borders]), st.integers(0, len(every) + 3)))
    rest = list(skip(iter(pieces), done))
    assert joined(rest).split(b"\n")[:-1] == every[done:]
    assert [piece.records for piece in rest] == [border for border in borders if border > done]
    assert sum(piece.count for piece in rest) == max(0, len(every) - done)


def test_broken_object_resumes_at_its_damage():
    """A second reading of a broken object skips what came out of the first and fails at the same place."""
    stored = gzip.compress(TEXT) + b"garbage"
    with pytest.raises(ObjectBroken) as caught:
        assert list(skip(read(Body(stored), LINES, DecodeLimits()), 3)) == []
    assert caught.value.record == 3


def test_head_shows_the_first_decoded_bytes():
    """Recognition looks at decoded bytes, of damaged objects too."""
    assert head(io.BytesIO(gzip.compress(TEXT)), 5) == b"one\nt"
    assert head(io.BytesIO(TEXT), 100) == TEXT
    assert head(io.BytesIO(b""), 5) == b""
    assert head(io.BytesIO(b"\x1f\x8bnope" + b"x" * 30), 5) == b""


def test_r4_zstd_gives_the_blocks_before_its_damage():
    """Of a damaged frame the records in the blocks before come out, as they were, and then its reason."""
    lines = noise(20_000)
    stored = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(b"\n".join(lines)))
    stored[len(stored) * 9 // 10 :] = bytes(len(stored) // 10)
    found, error = collect(bytes(stored))
    assert error.reason == "inflate_failed"
    assert found[:-1] == lines[: len(found) - 1]
    assert len(found) > 15_000


@pytest.mark.parametrize("inside", [TEXT, gzip.compress(TEXT), b'{"a":1}\n'], ids=["text", "gzip", "JSON"])
@pytest.mark.parametrize("layout", [LINES, RECORDS, Layout(values=True), Layout(values=True, or_lines=True)])
def test_r4_frames_of_an_upload_are_no_events(inside, layout):
    """Of a store that keeps aws-chunked bodies as they came, which S3 does not, nothing is sent."""
    signature = b";chunk-signature=" + b"0a" * 32
    signed = b"".join(b"%x%b\r\n%b\r\n" % (len(part), signature, part) for part in (inside, b""))
    sum_of_all = b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    unsigned = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (inside, inside * 3))
    for framed in (
        signed,
        unsigned + b"0\r\n\r\n",
        b"%x\r\n%b\r\n0\r\n" % (len(inside), inside) + sum_of_all,
    ):
        found, error = collect(framed, layout)
        assert (found, error.reason) == ([], "encoding_unknown")
