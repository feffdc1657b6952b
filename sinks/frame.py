"""The wire form of events: `<14>Jan  1 00:00:00 HOST TAG: MESSAGE`, one line each. Pure functions.

A block is framed by one `bytes.replace` over its payload, never line by line.
"""

import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from typing import Any

from isal import isal_zlib
from msgspec import Struct
from msgspec.structs import replace

from sinks.settings import FACILITIES, SEVERITIES, Delivery, SyslogConfig
from transforms.block import Block, Item, Poison

CONSTANT_DATE = "Jan  1 00:00:00"
"""Devo stamps the time of arrival; its own senders send this date."""

UNKNOWN_TAG = "unknown.unknown"
TOO_LARGE = "event_too_large"

_MOST_LINES = 32_768
"""Lines that are framed at once: no more than some 20 MiB of headers."""

_GZIP = zlib.MAX_WBITS | 16
_FAST_LEVELS = 3

_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_TAG = re.compile(r"[\x00-\x20\x7f:]+")
_ALSO_END_LINES = bytes.maketrans(b"\r\0", b"  ")
"""Devo's relay, whose engine is Scoja, ends an event at these too: what follows would be one of its own."""


def priority(facility: str, severity: str) -> int:
    """Return PRI: facility * 8 + severity, e.g. `priority("user", "info")` = 14."""
    return FACILITIES.index(facility) * 8 + SEVERITIES.index(severity)


@lru_cache(maxsize=1024)
def clean_host(host: str) -> str:
    """Return `host` without what would end the field early; "-" when nothing is left."""
    return _NOT_IN_HOST.sub("-", host) or "-"


@lru_cache(maxsize=16384)
def clean_tag(tag: str) -> str:
    """Return `tag` without what would end the field early; `unknown.unknown` when nothing is left."""
    cleaned = _NOT_IN_TAG.sub("_", tag)
    return cleaned if cleaned.strip("_") else UNKNOWN_TAG


def header(tag: str, host: str, pri: int, date: str = CONSTANT_DATE) -> bytes:
    """Return what stands before each message: `<14>Jan  1 00:00:00 HOST TAG: `."""
    return f"<{pri}>{date} {clean_host(host)} {clean_tag(tag)}: ".encode()


def pieces(payload: bytes, head: bytes) -> tuple[bytes, memoryview]:
    """Return the framed lines of a payload in two buffers to be sent one after the other.

    `replace` leaves one header too many at the end and one too few at the start. Cutting the one off as a
    view and sending the other before saves two copies of the whole buffer.
    """
    if not payload:
        return b"", memoryview(b"")
    lines = payload.replace(b"\n", b"\n" + head)
    return head, memoryview(lines)[: len(lines) - len(head)]


def octet_counted(payload: bytes, head: bytes) -> tuple[bytes, memoryview]:
    """Return the lines of a payload with their length before each instead of a newline behind (RFC 6587)."""
    lines = BytesIO(payload).readlines()
    framed = b"".join(b"%d %b%b" % (len(head) + len(line) - 1, head, line[:-1]) for line in lines)
    return b"", memoryview(framed)


def guard(block: Block, limit: int) -> list[Item]:
    """Return the block, and events larger than `limit` bytes as poison; none ends before its newline.

    A block within the limit, nearly every one, comes back as it is.
    """
    if b"\r" in block.payload or b"\0" in block.payload:
        block = replace(block, payload=block.payload.translate(_ALSO_END_LINES))
    if len(block.payload) <= limit and block.count <= _MOST_LINES:
        return [block] if block.payload else []
    return [part for one in _cut(block, limit) for part in _sliced(one)]


def _sliced(item: Item) -> list[Item]:
    """Divide a block of very many short lines: a header of hundreds of bytes is put before each of them."""
    if isinstance(item, Poison) or item.count <= _MOST_LINES:
        return [item]
    lines = BytesIO(item.payload).readlines()
    return [_part(item, b"".join(lines[at : at + _MOST_LINES])) for at in range(0, len(lines), _MOST_LINES)]


def _cut(block: Block, limit: int) -> list[Item]:
    """Leap through the payload in steps of `limit`: a step without a newline begins with a large event."""
    payload, items, good, position = block.payload, list[Item](), 0, 0
    while position < len(payload):
        newline = payload.rfind(b"\n", position, position + limit + 1)
        if newline >= 0:
            position = newline + 1
            continue
        end = payload.find(b"\n", position)
        if good < position:
            items.append(_part(block, payload[good:position]))
        items.append(_too_large(block, payload[position:end], limit))
        good = position = end + 1
    if not items:
        return [block]
    if good < len(payload):
        items.append(_part(block, payload[good:]))
    return items


def _part(block: Block, payload: bytes) -> Block:
    return replace(block, payload=payload, count=payload.count(b"\n"))


def _too_large(block: Block, event: bytes, limit: int) -> Poison:
    """Its number within the object is not known here: transforms drop events and put others together."""
    detail = f"an event of {len(event)} bytes, tag {block.tag}: max_event_bytes of the outputs is {limit}"
    return Poison(TOO_LARGE, detail, block.origin, event)


class Framer(Struct, frozen=True):
    """Frames blocks as one output's settings ask."""

    host: str
    priority: int
    iso_date: bool = False
    counted: bool = False

    @classmethod
    def of(cls, config: Delivery) -> "Framer":
        """Return the framer of an output."""
        counted = isinstance(config, SyslogConfig) and config.framing == "octet_counting"
        first = priority(config.facility, config.severity)
        return cls(config.host, first, config.timestamp == "iso8601", counted)

    def __call__(self, block: Block) -> tuple[bytes, memoryview]:
        """Return the block's framed lines in two buffers."""
        framed = octet_counted if self.counted else pieces
        return framed(block.payload, self.head(block.tag))

    def head(self, tag: str) -> bytes:
        """Return what stands before each message of a tag; its length never changes."""
        return header(tag, self.host, self.priority, self._date())

    def _date(self) -> str:
        if not self.iso_date:
            return CONSTANT_DATE
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def squeezed(buffers: Sequence[bytes | memoryview], level: int) -> bytes:
    """Return lines as one gzip member, the form that Devo takes raw on the same socket.

    Levels 1 to 3 are isal's: three times as fast as zlib's 1, and smaller. -1 is zlib's own default.
    """
    packer: Any = (
        isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP)
        if 1 <= level <= _FAST_LEVELS
        else zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    )
    return b"".join([*(packer.compress(buffer) for buffer in buffers), packer.flush()])
