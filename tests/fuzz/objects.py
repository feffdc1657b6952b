"""Fuzz targets of what comes as S3 objects: lines, records, values, compression, Parquet, CSV.

Lines in are lines out, pieces keep their promises, how an object is cut changes nothing, errors are
ObjectBroken.
"""

import bz2
import gzip
import io
import json
import lzma
import zlib
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from sources.errors import ObjectBroken
from sources.objects import decode, inflate, lines
from sources.objects.decode import DecodeLimits, Layout, read
from sources.objects.json_text import array as json_array
from sources.objects.json_text import scanner as json_scanner
from sources.objects.json_text import values as json_values
from sources.objects.text_check import not_text
from sources.objects.text_repair import BOM, repaired
from tests.fuzz.target import Target, constants, knobs
from tests.sources.objects.decoding import Body, check, joined
from transforms import cloudfront, documents, routed, umbrella, vpcflow
from transforms.block import Block, Origin, Poison
from transforms.columns import Columns
from transforms.line_logs import LineLogOptions
from transforms.tags import TagRule

_LIMITS = DecodeLimits(max_bytes=8 << 20, max_event_bytes=1 << 16)
_LAYOUTS = (
    Layout(),
    Layout(comment=b"#"),
    Layout(is_header=vpcflow.is_header),
    Layout(is_header=umbrella.is_header, quoted=True),
    Layout(quoted=True),
)
_UNWRAPS = (
    None,
    documents.under(("Records",), {}, {}),
    documents.under(("a", "b"), {"c": "d"}, {"e": "f"}),
    documents.lines_under(("out", "err")),
    documents.carried,
)
_MAGICS = (inflate.GZIP, inflate.ZSTD, b"PAR1", b"\xff\xfe", b"\xfe\xff")


def outcome(
    data: bytes, layout: Layout, limits: DecodeLimits = _LIMITS, sizes=()
) -> tuple[bytes, str, bytes]:
    """Return what came out, why it ended ("" = well), and the last header; pieces keep what they promise."""
    pieces, reason = [], ""
    try:
        for piece in read(Body(data, sizes), layout, limits):
            pieces.append(piece)  # noqa: PERF402 - those before an error count
    except ObjectBroken as error:
        assert error.what
        assert error.hint
        assert error.record == sum(piece.count for piece in pieces)
        reason = error.reason
    check(pieces)
    return joined(pieces), reason, pieces[-1].header if pieces else b""


def _compressed(data: bytes) -> bool:
    """Tell what is not cut as the text that it is: compressed, binary, or of another encoding."""
    return inflate.inflater(data, "") is not None or data.startswith(_MAGICS) or bool(not_text(data))


def text_lines(data: bytes) -> None:
    """Lines: what is no header and no comment comes out, each once, however the object is cut."""
    (how, size), body = knobs(data, 2)
    layout = _LAYOUTS[how % len(_LAYOUTS)]
    out, reason, _ = outcome(body, layout)
    assert outcome(body, layout, sizes=[size % 7] * 50)[:2] == (out, reason)
    if _compressed(body):
        return
    assert not reason
    text = _text(body)
    expected = [line for line in text.split(b"\n") if line]
    if layout.comment:
        expected = [line for line in expected if not line.startswith(b"#")]
    if not layout.is_header and not layout.quoted:
        assert out.split(b"\n")[:-1] == expected
    elif layout.quoted and not layout.is_header:
        assert out.replace(b"\n", b" ").split() == _words(body)


def quoted_lines(data: bytes) -> None:
    """CSV with open quotes: no byte but newlines changes, in whatever chunks it comes."""
    (size,), body = knobs(data, 1)
    if _compressed(body) or repaired(body) != body:
        return
    layout = Layout(quoted=True)
    whole = outcome(body, layout)[0]
    with constants(decode, CHUNK_BYTES=1 + size % 64), constants(lines, _RECORD_LINES=4, _RECORD_BYTES=256):
        small = outcome(body, layout)[0]
    assert small.replace(b"\n", b" ").split() == whole.replace(b"\n", b" ").split() == _words(body)


def _text(body: bytes) -> bytes:
    """Return a text as the cutting sees it: repaired, every line with a plain newline."""
    if b"\n" not in body and b"\r" in body[:-1]:
        body = body.replace(b"\r", b"\n")
    ended = body if body.endswith(b"\n") else body + b"\n"
    text = repaired(b"\n".join(line if line.strip(b"\0") else b"" for line in ended.split(b"\n")))
    return text.removeprefix(BOM).replace(b"\n" + BOM, b"\n").replace(b"\r\n", b"\n")


def _words(body: bytes) -> list[bytes]:
    return _text(body).replace(b"\n", b" ").split()


def _loads(body: bytes) -> object:
    """Return strict JSON; raises ValueError for what else Python's parser takes."""

    def once(pairs):
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    def no(name):
        raise ValueError(name)

    return json.loads(body.decode(), object_pairs_hook=once, parse_constant=no)


def cloudtrail_records(data: bytes) -> None:
    """CloudTrail: a valid document gives exactly its records; windows of any size give the same."""
    (size,), body = knobs(data, 1)
    if _compressed(body):
        return
    layout = Layout(records="Records")
    out, reason, _ = outcome(body, layout)
    small = 8 + size
    with constants(json_array, decode, CHUNK_BYTES=small, _SMALL=2 * small):
        again, why, _ = outcome(body, layout)
    try:
        parsed = _loads(body)
    except (ValueError, RecursionError):
        return
    expected = parsed.get("Records") if isinstance(parsed, dict) else parsed
    if not isinstance(expected, list) or b"\0" in body or b"\\u" in body:
        return
    assert not reason
    assert [json.loads(line) for line in out.split(b"\n")[:-1]] == expected
    assert (again, why) == (out, reason)


def values_in_a_row(data: bytes) -> None:
    """JSON values in a row: valid ones come out, each once, however they are cut."""
    (how, size), body = knobs(data, 2)
    if _compressed(body):
        return
    layout = Layout(values=True, unwrap=_UNWRAPS[how % len(_UNWRAPS)], or_lines=how >= 128)
    out, reason, _ = outcome(body, layout)
    small = 8 + size
    with constants(json_array, json_values, decode, CHUNK_BYTES=small, _SMALL=2 * small):
        again, why, _ = outcome(body, layout)
    if layout.unwrap is not None or layout.or_lines or b"\0" in body:
        return
    try:
        parsed = [_loads(part) for part in body.split(b"\n") if part.strip()]
    except (ValueError, RecursionError):
        return
    if parsed and all(isinstance(one, dict) for one in parsed):
        assert not reason
        assert [json.loads(line) for line in out.split(b"\n")[:-1]] == parsed
        assert (again, why) == (out, reason)


def scanned(data: bytes) -> None:
    """Scanner: it goes forward, and what it calls an element is one."""
    (at,), body = knobs(data, 1)
    found = json_scanner.elements(body, at % (len(body) + 1))
    assert found.end <= len(body)
    for raw in found.raws:
        assert raw.strip()
        assert b"\n" not in json_scanner.compact(raw)
    end = json_scanner.end_of(body, 0)
    assert end in (json_scanner.SHORT, json_scanner.TOO_DEEP) or 0 < end <= len(body)
    try:
        start, after = json_scanner.find_array(body, b"Records")
    except ObjectBroken:
        return
    assert start <= len(body)
    assert after <= len(body)


def compression(data: bytes) -> None:
    """Gzip and zstd: what is packed comes out as it was, what is damaged ends with an error."""
    (how,), body = knobs(data, 1)
    packed = (bytes, gzip.compress, zstandard.ZstdCompressor().compress)[how % 3](body)
    out, reason, _ = outcome(packed, Layout())
    if how % 3 and not _compressed(body):
        assert not reason
        assert out.split(b"\n")[:-1] == [line for line in _text(body).split(b"\n") if line]
    decode.head(Body(packed), 1024)


def seldom_codecs(data: bytes) -> None:
    """Codecs seldom met: what is packed comes out as it was, what is damaged ends with an error."""
    (how,), body = knobs(data, 1)
    name = "a.br" if how % 4 == 3 else ""
    outcome_of = partial(read, Body(body), Layout(), _LIMITS, name)
    try:
        for piece in outcome_of():
            assert piece.count == piece.payload.count(b"\n")
    except ObjectBroken as error:
        assert error.reason
    if how % 4 < 2 and not _compressed(body):
        packed = (bz2.compress, lzma.compress)[how % 4](body)
        out, reason, _ = outcome(packed, Layout())
        assert not reason
        assert out.split(b"\n")[:-1] == [line for line in _text(body).split(b"\n") if line]


def text_checked(data: bytes) -> None:
    """Text check: it always has an answer, and ASCII without control characters is text."""
    what = not_text(data)
    printable = data.translate(None, bytes(range(0x20)) + bytes(range(0x7F, 0x100)))
    if printable == data and not data.startswith(b"%PDF-") and data[257:262] != b"ustar":
        assert not what


def parquet_rows(data: bytes) -> None:
    """Parquet: whatever the bytes say, rows or an error, in bounded memory."""
    outcome(data, Layout(separator=b" "))
    decode.head(Body(data), 64)


def umbrella_rows(data: bytes) -> None:
    """Umbrella: the whole path from bytes to a tag; lines that came out of the cutting are all tagged."""
    (split_at,), body = knobs(data, 1)
    key, body = body[: split_at % 64].decode("latin-1"), body[split_at % 64 :]
    umbrella.detect(key, body[:512])
    out, _, _ = outcome(body, Layout(quoted=True, is_header=umbrella.is_header))
    if out:
        block = Block(out, out.count(b"\n"), Origin("cisco-umbrella", object=f"s3://b/{key}"))
        (made,) = umbrella.transform(LineLogOptions(TagRule(umbrella.TEMPLATE)))(block)
        assert made.payload == out
        assert made.tag.startswith("sig.cisco.umbrella.")
        assert len(made.tag.split(".")) == 4


def csv_rows(data: bytes) -> None:
    """CSV and flow logs as JSON: rows in are objects out plus rows in quarantine, each object valid JSON."""
    (how,), body = knobs(data, 1)
    out, _, header = outcome(body, Layout(quoted=how % 2 == 0, is_header=lambda _line: how % 4 < 2))
    if not out:
        return
    block = Block(out, out.count(b"\n"), Origin("custom", object="s3://b/k"), header=header)
    if 64 <= how < 128 and out.startswith(b"{"):
        return  # version 2 of CloudFront's logs, JSON already
    if how >= 128:
        run = vpcflow.transform(LineLogOptions(TagRule(vpcflow.TEMPLATE), json=True))
    elif how >= 64:
        run = cloudfront.transform(LineLogOptions(TagRule(cloudfront.TEMPLATE), json=True))
    else:
        columns = Columns("," if how % 2 == 0 else "\t", ("a", "b") if how % 8 > 3 else (), how % 2 == 0)
        run = routed.transform(routed.RoutedOptions(TagRule("my.app.x"), columns=columns))
    count = 0
    for item in run(block):
        if isinstance(item, Poison):
            assert item.body
            count += item.body.count(b"\n")
            continue
        assert item.count == item.payload.count(b"\n") > 0
        assert all(isinstance(json.loads(line), dict) for line in item.payload.split(b"\n")[:-1])
        count += item.count
    assert count == block.count, (count, block.count)


def _parquet(**options: object) -> bytes:
    out = io.BytesIO()
    table = pa.table({"version": [2, None], "account_id": ["000123456789", ""], "tags": [{"a": 1}, None]})
    pq.write_table(table, out, **options)
    return out.getvalue()


_UMBRELLA = b'"2026-01-02 03:04:05","a, ""b""","c\nd","1.2.3.4"\n"2026-01-02 03:04:06", "x","y","z"\n'
_RECORD = b'{"eventVersion":"1.08","eventName":"A","x":{"y":["}{",1.5e3,null,"\\n"]}}'
_DOCUMENT = b'{"a":{"Records":[1]},"Records":[%b, %b,\n%b],"z":[]}' % (_RECORD, _RECORD, _RECORD)
_SUBSCRIPTION = (
    b'{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",'
    b'"logEvents":[{"id":"1","timestamp":2,"message":"m"}]}'
)

TARGETS = (
    Target(
        "lines",
        text_lines,
        (b"\0\1one\n\r\ntwo\r\n", b"\1\2#Fields: a b\nx y\n", b"\2\0version account-id\n2 1\n"),
    ),
    Target("quoted", quoted_lines, (b"\4" + _UMBRELLA, b'\1"a\nb,c\n"d","e""\n\n"\n')),
    Target(
        "records", cloudtrail_records, (b"\x10" + _DOCUMENT, b"\1[" + _RECORD + b"]", b'\2{"Records":[]}')
    ),
    Target(
        "values",
        values_in_a_row,
        (
            b"\0\x10" + _RECORD + b"\n" + _RECORD,
            b"\1\2" + _DOCUMENT,
            b"\2\3" + b'{"a":{"b":[{"e":1}]},"c":2}{"a":{"b":null},"c":3}',
            b"\3\1" + b'{"out":"x\\ny","err":["z"]}',
            b"\4\1" + _SUBSCRIPTION,
            b"\x80\1plain\nlines\n",
        ),
    ),
    Target("scan", scanned, (b"\0" + _RECORD + b"," + _RECORD + b"]", b'\1["a",1,{}]')),
    Target(
        "compression",
        compression,
        (
            b"\0" + gzip.compress(b"one\ntwo\n", mtime=0) * 2,
            b"\0" + zstandard.ZstdCompressor().compress(b"one\ntwo\n"),
            b"\1one\ntwo",
            b"\2one\ntwo",
            b"\0" + gzip.compress(b"a" * 9000, mtime=0),
        ),
    ),
    Target(
        "codecs",
        seldom_codecs,
        (
            b"\0" + bz2.compress(b"one\ntwo\n"),
            b"\0" + lzma.compress(b"one\ntwo\n"),
            b"\0" + zlib.compress(b"one\ntwo\n"),
            b"\0\xff\x06\x00\x00sNaPpY\x01\x08\x00\x00\0\0\0\0one\n",
            b"\0\x04\x22\x4d\x18\x40\x40\xc0\x04\0\0\x80one\n\0\0\0\0",
            b"\0PK\x03\x04" + bytes(40) + b"PK\x05\x06" + bytes(18),
            b"\3\x0b\x01\x80one\n\x03",
        ),
    ),
    Target("text", text_checked, (b"plain\n", b"\x89PNG\r\n", b"a\0b\0", b"%PDF-1", bytes(300))),
    Target(
        "parquet",
        parquet_rows,
        (_parquet(), _parquet(compression="none", use_dictionary=False), _parquet(compression="gzip")),
        16_384,
    ),
    Target("umbrella", umbrella_rows, (b"\x12dnslogs/2026/a.csv" + _UMBRELLA, b"\0" + _UMBRELLA)),
    Target(
        "csv",
        csv_rows,
        (b'\0a,b\n1,2\n3,"4\n5"\n6\n', b"\4x,y\n", b"\x80version account-id\n2 1\n", b"\x41a\tb\n"),
    ),
)
