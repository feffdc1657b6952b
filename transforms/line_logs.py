"""Logs of lines: raw as they came, or their fields as JSON by the names in the object's header."""

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from transforms.block import Block, Item, Poison, Transform
from transforms.columns import to_json
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import TagRule


class LineLog(Struct, frozen=True):
    """One kind of log. name: for messages.

    kind: block, and whether types are told (`auto_event_type`) → the event type. separator: of columns.
    numbers: columns that are written without quotes. default: the columns of objects without a header.
    json_lines: objects may be JSON already, sent as it is.
    """

    name: str
    kind: Callable[[Block, bool], str]
    separator: str = ","
    numbers: frozenset[str] = frozenset()
    default: bytes = b""
    json_lines: bool = False


class LineLogOptions(Struct, frozen=True):
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule
    auto_event_type: bool = False
    event_type: Callable[[str], str] = lambda _key: ""
    json: bool = False
    stamp: Stamp = NO_STAMP


def transform(log: LineLog, options: LineLogOptions) -> Transform:
    """Return the transform of a kind of log."""

    def run(block: Block) -> Iterator[Item]:
        kind = options.event_type(block.origin.key) or log.kind(block, options.auto_event_type)
        tagged = replace(block, tag=options.tag.tag_of_object(kind, block.origin))
        if log.json_lines and block.payload.startswith(b"{"):
            yield options.stamp.on(tagged)
        elif options.json:
            yield from map(options.stamp.on, _as_json(tagged, log))
        else:
            yield tagged

    return run


def _as_json(block: Block, log: LineLog) -> Iterator[Item]:
    header, first = block.header or log.default, block.payload.partition(b"\n")[0]
    separator = log.separator.encode()
    if not block.header and (not header or first.count(separator) != header.count(b" ")):
        columns = first.count(separator) + 1
        detail = f"{log.name} of {columns} columns without header: {block.origin.object}: use format: raw"
        yield Poison("header_unknown", detail, block.origin, block.payload)
        return
    yield from to_json(block, header.decode().split(), log.numbers, log.separator)
