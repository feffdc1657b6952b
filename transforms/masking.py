"""Values of fields that nobody shall see, replaced in JSON events; all other bytes stay as they are."""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TypeAlias

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace

from transforms.block import Block, Item, Poison, Transform
from transforms.documents import fields, joined

Paths: TypeAlias = "dict[str, Paths]"
"""Key → the keys below it; {} = the value itself is hidden."""

_BEFORE = re.compile(rb"\A(?:[\x00-\x20]|\xef\xbb\xbf|\xef\xbf\xbd)*+")
"""What may hide that a line is JSON: byte order marks, also broken ones, controls."""

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Mask(Struct, frozen=True):
    """keys: the fields; a dot goes one level down, unless a key has it itself. text: put there instead."""

    keys: tuple[str, ...] = ()
    text: str = "***"

    @property
    def paths(self) -> Paths:
        """The keys as a tree, each also as it is written: `event.type` may be one name."""
        tree: Paths = {}
        for key in self.keys:
            tree[key] = {}
        for key in self.keys:
            level, names = tree, key.split(".")
            for name in names[:-1]:
                if level.get(name) == {} and name in level:
                    break  # all of it is hidden already
                level = level.setdefault(name, {})
            else:
                level[names[-1]] = {}
        return tree


def masked(transform: Transform, mask: Mask | None) -> Transform:
    """Return a transform whose events have the mask on; without a mask, the same one.

    Lines that are no JSON pass. One that begins as JSON and cannot be read goes to quarantine: nobody knows
    what is in it.
    """
    if mask is None:
        return transform
    paths, text = mask.paths, orjson.dumps(mask.text)
    names = tuple(b'"%b"' % orjson.dumps(name)[1:-1] for name in paths)

    def run(block: Block) -> Iterator[Item]:
        for item in transform(block):
            yield from _block(item, paths, text, names) if isinstance(item, Block) else (item,)

    return run


def _block(block: Block, paths: Paths, text: bytes, names: Sequence[bytes]) -> Iterator[Item]:
    if not _may_hold(block.payload, names):
        yield block
        return
    lines, bad = list[bytes](), list[bytes]()
    for line in BytesIO(block.payload):
        try:
            lines.append(_line(line[:-1], paths, text) + b"\n" if _may_hold(line, names) else line)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            bad.append(line)
    if lines:
        yield replace(block, payload=b"".join(lines), count=len(lines))
    if bad:
        where = f"{block.origin.object or block.origin.container} from record {block.origin.record}"
        yield Poison("mask_failed", f"no JSON to be masked: {where}", block.origin, b"".join(bad))


def _may_hold(payload: bytes, names: Sequence[bytes]) -> bool:
    """Tell whether a key may stand there: as it is, or escaped."""
    return b"\\" in payload or any(name in payload for name in names)


def _line(line: bytes, paths: Paths, text: bytes) -> bytes:
    """Return a line with the mask on; what stands before its JSON goes when something is replaced."""
    raw = _BEFORE.sub(b"", line, count=1)
    made = _value(raw, paths, text)
    return line if made == raw else made


def _value(raw: bytes, paths: Paths, text: bytes) -> bytes:
    """Return a JSON value with the fields of the tree replaced; {} stands for the value itself."""
    if not paths:
        return text
    begin = raw.lstrip()[:1]
    if begin == b"[":
        return b"[%b]" % b",".join(_value(bytes(one), paths, text) for one in _ARRAY.decode(raw))
    if begin != b"{":
        return raw
    outer = fields(raw)
    if paths.keys().isdisjoint(outer):
        return raw
    return joined({key: _value(one, paths[key], text) if key in paths else one for key, one in outer.items()})
