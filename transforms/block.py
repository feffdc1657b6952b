"""What flows through the dataflow: blocks of whole events, and poisons.

Blocks flow, not events: one `Block` holds 64 KiB to 1 MiB of newline-terminated events in one `bytes`, so
the cost of a dataflow step is paid once for thousands of events.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from io import BytesIO
from typing import TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from transforms.receipt_request import ReceiptRequest

TARGET_BYTES = 1 << 20
"""Largest payload that `coalesce` builds by joining; a single larger block passes as it is."""

LEAST_EVENT_BYTES = 256
"""What an event counts at least where events wait: receivers take each by itself, behind a header, and an
object of kilobytes may hold millions of two bytes, behind which everybody else's would have to wait."""

_MOST_FAILURES = 64
_LONGEST_DETAIL = 300


class Origin(Struct, frozen=True):
    """Where events came from: enough to find them again in AWS.

    service: name in the catalogue, e.g. `audits_s3`.
    account, region: of the events where known, else of the queue or API that they were read from.
    container: queue name, log group or API that announced them.
    object: `s3://bucket/key` for objects, else "".
    version: S3 version id or etag, else "".
    record: number (from 0) of the first event of the block within its object; after a transform, of the block
        that it was made of.
    """

    service: str
    account: str = ""
    region: str = ""
    container: str = ""
    object: str = ""
    version: str = ""
    record: int = 0

    @property
    def key(self) -> str:
        """The object's key within its bucket; a path is its own key."""
        scheme, found, rest = self.object.partition("://")
        return rest.partition("/")[2] if found and scheme == "s3" else self.object


class Block(Struct, frozen=True):
    r"""Whole events of one origin.

    payload: the events, each ending in one newline and holding no other; none is blank.
    count: number of events, always `payload.count(b"\n")`.
    tag: Devo tag, "" until a transform has set it.
    header: the column line of the object that the events are rows of, without newline ("" = unknown).
    """

    payload: bytes
    count: int
    origin: Origin
    tag: str = ""
    header: bytes = b""


class Poison(Struct, frozen=True):
    """Something that cannot become an event: it goes to quarantine, with its reason.

    reason: stable snake_case code, e.g. `notice_unknown`, `object_broken`, `event_too_large`.
    detail: one line for a person: what was wrong, and where.
    body: the raw bytes when they exist nowhere else (a queue message, one event); b"" when `origin` is
        pointer enough (an S3 object stays in S3).
    """

    reason: str
    detail: str
    origin: Origin
    body: bytes = b""


POISON_MARK = b'{\n "v": 1,\n "reason": '
"""How the file begins that quarantine makes of a Poison (`sinks/quarantine.py`)."""


Item: TypeAlias = Block | Poison
Flowing: TypeAlias = Item | ReceiptRequest
"""What sources may emit."""

Transform: TypeAlias = Callable[[Block], Iterable[Item]]

Key = TypeVar("Key", bound=Hashable)


def divide(block: Block, keys: Iterable[Key]) -> dict[Key, Block]:
    r"""Return a block's events by their keys, one for each event; within a key, they keep their order.

    `readlines` leaps from newline to newline, where `split(b"\n")` looks at every byte: five times faster.
    """
    groups: dict[Key, list[bytes]] = {}
    for key, line in zip(keys, BytesIO(block.payload).readlines(), strict=True):
        if key in groups:
            groups[key].append(line)
        else:
            groups[key] = [line]
    return {key: replace(block, payload=b"".join(lines), count=len(lines)) for key, lines in groups.items()}


def made_of(block: Block, transform: Transform) -> list[Item]:
    """Return what a transform makes of a block; events that it fails on become poison, and they alone.

    Events are what attackers write: an error in a transform must cost its event, not the process. After many
    failures the block is not divided any further.
    """
    waiting, items, failures = [block], list[Item](), 0
    while waiting:
        part = waiting.pop()
        try:
            items += list(transform(part))
        except Exception as error:  # noqa: BLE001 - of any kind: they depend on what the events hold
            failures += 1
            if part.count > 1 and failures <= _MOST_FAILURES:
                waiting += reversed(_halves(part))
                continue
            what = f"{type(error).__name__}: {error}".partition("\n")[0][:_LONGEST_DETAIL]
            detail = f"events not understood ({what}): {part.origin.object or part.origin.container}"
            items.append(Poison("transform_failed", detail, part.origin, part.payload))
    return items


def _halves(block: Block) -> list[Block]:
    lines = BytesIO(block.payload).readlines()
    middle = len(lines) // 2
    second = replace(block.origin, record=block.origin.record + middle)
    return [
        Block(b"".join(part), len(part), origin, block.tag, block.header)
        for part, origin in ((lines[:middle], block.origin), (lines[middle:], second))
    ]


def of_origin(block: Block) -> Hashable:
    """Return what makes blocks alike before a transform, which may look at any of it."""
    return block.tag, block.header, block.origin


def of_tag(block: Block) -> Hashable:
    """Return what makes blocks alike after a transform: from there on, an origin serves for messages only.

    But for events that are cut out as too large: `limit` must not be over theirs, so that none is joined.
    """
    return block.tag


def coalesce(
    items: Iterable[Item], alike: Callable[[Block], Hashable] = of_tag, limit: int = TARGET_BYTES
) -> Iterator[Item]:
    """Join blocks that are alike up to `limit` payload bytes; among these, events keep their order.

    Poisons pass at once. A joined block keeps the first one's origin.
    """
    waiting: dict[Hashable, list[Block]] = {}
    sizes: dict[Hashable, int] = {}
    for item in items:
        if isinstance(item, Poison):
            yield item
            continue
        key, size = alike(item), len(item.payload)
        if key in waiting and sizes[key] + size <= limit:
            waiting[key].append(item)
            sizes[key] += size
            continue
        if key in waiting:
            yield _join(waiting[key])
        waiting[key], sizes[key] = [item], size
    yield from map(_join, waiting.values())


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    payload = b"".join(block.payload for block in blocks)
    return replace(blocks[0], payload=payload, count=sum(block.count for block in blocks))
