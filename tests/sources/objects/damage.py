"""Damage of any kind in objects of every format: what is lost, what is garbage, what goes to quarantine.

python -m tests.sources.objects.damage [SEED [KINDS]]    → the matrix; exit 1 when anything is lost or garbage

A kind of damage is drawn by its seed: where (within a record, between two, anywhere in the stored bytes),
what is done (deleted, replaced, inserted, doubled, cut) and with what (quotes, brackets, escapes, control
characters, words, pieces of JSON). One record of an object is touched; all others are good. Withheld are good
records behind damage that leaves no certain place to go on: the quarantine points there, or has their bytes.
"""

import gzip
import io
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from sources.errors import ObjectBroken
from sources.objects.decode import DecodeLimits, Layout, read
from transforms import vpcflow
from transforms.block import Block, Item, Origin, Poison, made_of
from transforms.columns import Columns
from transforms.line_logs import LineLogOptions
from transforms.routed import RoutedOptions
from transforms.routed import transform as routed
from transforms.tags import TagRule

RECORDS = 24
LIMITS = DecodeLimits(max_record_bytes=2 << 20)
GROWN = 9 << 20
"""Bytes of a record that is too large; more than Parquet's reader takes at a time."""
_NUMBERS = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}
_FLOW = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status"
)
_STUFF: tuple[Callable[[random.Random], bytes], ...] = (
    lambda _rng: b'"',
    lambda _rng: b"\\",
    lambda rng: rng.choice((b"{", b"}", b"[", b"]", b"}}", b"]}")),
    lambda rng: rng.choice((b"\n", b"\r\n", b"\r", b"\n\n")),
    lambda rng: rng.choice((b",", b":", b" ", b"\t", b",,")),
    lambda rng: bytes(rng.randint(1, 3)),
    lambda _rng: b"\xef\xbb\xbf",
    lambda rng: bytes(rng.choices(range(0x80, 0x100), k=rng.randint(1, 4))),
    lambda rng: bytes(rng.choices(range(1, 0x20), k=rng.randint(1, 4))),
    lambda rng: b" ".join(rng.choices((b"error", b"42", b"null", b"<html>", b"-", b"2026-01-02"), k=3)),
    lambda rng: rng.choice((b'{"x":', b'{"x":1}', b'[{"y":2}', b'"z":"', b"c:\\q")),
    lambda rng: b"x" * rng.randint(1, 200),
)


@dataclass(frozen=True, slots=True)
class Format:
    """records: as events (JSON values). texts: their bytes. joined: the object of texts, stored.

    layout, transform: what reads it. binary: damage hits the stored bytes anywhere.
    """

    name: str
    layout: Layout
    texts: Callable[[list[dict[str, object]]], list[bytes]]
    joined: Callable[[list[bytes]], bytes]
    transform: Callable[[Block], object] = lambda block: [block]
    binary: bool = False


@dataclass(slots=True)
class Outcome:
    """Counts of good records: out, withheld by an error that points at them, lost; and of the rest."""

    out: int = 0
    withheld: int = 0
    lost: int = 0
    garbage: list[bytes] = field(default_factory=list)
    damaged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _flow_rows(records: list[dict[str, object]]) -> list[bytes]:
    rows = []
    for one in records:
        number = int(str(one["id"])[1:])
        rows.append(
            b"2 000123456789 eni-%d 10.0.0.1 10.0.0.2 443 %d 6 1 40 1767323045 1767323105 ACCEPT OK"
            % (number, 1024 + number)
        )
    return rows


def _parquet(texts: list[bytes]) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([json.loads(one) for one in texts]),
        out,
        row_group_size=8,
        write_page_checksum=True,
    )
    return out.getvalue()


def _texts(records: list[dict[str, object]]) -> list[bytes]:
    return [_compact(one) for one in records]


_TAG = TagRule("my.app.x")
_VALUES = Layout(values=True)
FORMATS = (
    Format(
        "records", Layout(records="Records"), _texts, lambda texts: b'{"Records":[%b]}' % b",".join(texts)
    ),
    Format("JSON lines", _VALUES, _texts, lambda texts: b"\n".join([*texts, b""])),
    Format("unseparated", _VALUES, _texts, b"".join),
    Format(
        "pretty",
        _VALUES,
        lambda records: [json.dumps(one, indent=1).encode() for one in records],
        lambda texts: b"\n".join([*texts, b""]),
    ),
    Format(
        "flow log",
        Layout(is_header=vpcflow.is_header, glued=True),
        _flow_rows,
        lambda texts: b"\n".join([_FLOW.encode(), *texts, b""]),
        vpcflow.transform(LineLogOptions(TagRule(vpcflow.TEMPLATE), json=True)),
    ),
    Format(
        "CSV",
        Layout(is_header=lambda _line: True, quoted=True, separator=b","),
        lambda records: [b'%b,"a, b",7' % str(one["id"]).encode() for one in records],
        lambda texts: b"\n".join([b"id,text,n", *texts, b""]),
        routed(RoutedOptions(_TAG, columns=Columns())),
    ),
    Format("gzip", _VALUES, _texts, lambda texts: gzip.compress(b"\n".join(texts), mtime=0), binary=True),
    Format(
        "zstd",
        _VALUES,
        _texts,
        lambda texts: zstandard.ZstdCompressor(write_checksum=True).compress(b"\n".join(texts)),
        binary=True,
    ),
    Format("Parquet", _VALUES, _texts, _parquet, binary=True),
)


def records() -> list[dict[str, object]]:
    """Return the records of an object, each told by its id."""
    return [
        {"id": f"r{number:04}", "at": {"k": [{"id": None, "m": number}]}, "text": 'q" \\ é', "n": number / 8}
        for number in range(RECORDS)
    ]


def edited(rng: random.Random, text: bytes) -> bytes:
    """Return a text with one damage somewhere within."""
    at = rng.randrange(len(text) + 1)
    length = rng.choice((1, 1, 2, 5, 20, len(text)))
    how = rng.choice(("delete", "replace", "insert", "insert", "double", "cut"))
    stuff = rng.choice(_STUFF)(rng)
    if how == "delete":
        return text[:at] + text[at + length :]
    if how == "replace":
        return text[:at] + stuff + text[at + len(stuff) :]
    if how == "double":
        return text[: at + length] + text[at:]
    return text[: max(at, 1)] if how == "cut" else text[:at] + stuff + text[at:]


def grown(kind: Format, rng: random.Random, number: int) -> bytes:
    """Return the text of a record that is larger than may be held, of any kind within; not always whole."""
    pad: object = "x" * GROWN
    column = "text" if kind.name == "Parquet" else "pad"  # whose rows have the first one's columns
    if rng.random() < 0.5 and kind.layout.is_header is None and column == "pad":
        pad = rng.choice(
            ([records()[0]] * (GROWN // 80), {f"k{n}": [n] for n in range(GROWN // 16)}, [pad, 1])
        )
    text = kind.texts([{**records()[number], column: pad}])[0]
    if kind.layout.is_header:
        return text[: rng.randrange(len(text))] + b"x" * GROWN + text[len(text) // 2 :]
    return edited(rng, text) if rng.random() < 0.3 and not kind.binary else text


def damaged(kind: Format, seed: int) -> tuple[bytes, int]:
    """Return an object with the damage of a seed, and which record was touched; -1 = anything."""
    rng = random.Random(seed)
    texts = kind.texts(records())
    if seed % 8 == 0:
        number = rng.randrange(RECORDS)
        texts[number] = grown(kind, rng, number)
        return kind.joined(texts), number
    if kind.binary:
        return edited(rng, kind.joined(texts)), -1
    number = rng.randrange(RECORDS)
    if rng.random() < 0.3:  # something between two records, most of all lines that are none
        stuff = b"".join(rng.choice(_STUFF)(rng) for _ in range(rng.randint(1, 3)))
        return kind.joined([*texts[:number], stuff, *texts[number:]]), RECORDS
    texts[number] = edited(rng, texts[number])
    return kind.joined(texts), number


def _items(kind: Format, stored: bytes, outcome: Outcome) -> list[Item]:
    items: list[Item] = []
    origin = Origin("custom", object="s3://b/k")
    try:
        for piece in read(io.BytesIO(stored), kind.layout, LIMITS):
            if piece.reason:
                items.append(Poison(piece.reason, piece.detail, origin, piece.payload))
            else:
                block = Block(piece.payload, piece.count, origin, header=piece.header)
                items += made_of(block, kind.transform)
    except ObjectBroken as error:
        outcome.reasons[error.reason] += 1
        items.append(Poison(error.reason, str(error), origin))
    return items


def judged(kind: Format, seed: int) -> Outcome:
    """Return what became of an object with the damage of a seed."""
    stored, touched = damaged(kind, seed)
    outcome = Outcome()
    clean = Outcome()
    good = [
        one for item in _items(kind, kind.joined(kind.texts(records())), clean) if isinstance(item, Block)
        for one in item.payload.split(b"\n")[:-1]
    ]  # fmt: skip
    assert len(good) == RECORDS
    assert not clean.reasons
    items = _items(kind, stored, outcome)
    lines = [one for item in items if isinstance(item, Block) for one in item.payload.split(b"\n")[:-1]]
    poisons = [item for item in items if isinstance(item, Poison)]
    held = b"".join(one.body for one in poisons)
    pointed = any(not one.body for one in poisons)
    out = set(lines)
    outcome.damaged = sum(1 for one in poisons if one.body)
    outcome.reasons.update(one.reason for one in poisons if one.body)
    texts = kind.texts(records())
    for number, one in enumerate(good):
        if number == touched:
            continue
        if one in out:
            outcome.out += 1
        elif pointed or texts[number] in held:
            outcome.withheld += 1
        else:
            outcome.lost += 1
    extra = [line for line in lines if line not in set(good)]
    outcome.garbage = [line for line in extra if not _may_be(line, kind)]
    if sum(line.startswith(b"{") for line in extra) > 2:
        outcome.garbage = extra
    return outcome


def _may_be(line: bytes, kind: Format) -> bool:
    """Tell whether a line may be the touched record, valid still, or a value that was put in."""
    try:
        value = json.loads(line, strict=False)
    except ValueError:
        return False
    return not isinstance(value, dict) or not value or not value.keys() <= {"k"}


def main(seed: int = 1, kinds: int = 40) -> int:
    """Print the matrix."""
    write = sys.stdout.write
    write(f"{'format':<12} kinds  good out  withheld  lost  garbage  quarantined  reasons\n")
    bad = 0
    for kind in FORMATS:
        found = [judged(kind, number) for number in range(seed * 1000, seed * 1000 + kinds)]
        lost, garbage = sum(one.lost for one in found), sum(len(one.garbage) for one in found)
        bad += lost + garbage
        reasons: Counter[str] = sum((one.reasons for one in found), Counter())
        told = ", ".join(f"{name} {count}" for name, count in sorted(reasons.items()))
        write(
            f"{kind.name:<12} {kinds:>5} {sum(one.out for one in found):>9} "
            f"{sum(one.withheld for one in found):>9} {lost:>5} {garbage:>8} "
            f"{sum(one.damaged for one in found):>12}  {told}\n"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
