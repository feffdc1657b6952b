"""Events of a table that key and content tell: lines are dropped by rules, the rest tagged by a template.

Without rules and without values of the events in the tag, a block passes as it came, with one tag.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
from msgspec import Struct
from msgspec.structs import replace

from transforms.block import Block, Item, Transform, divide
from transforms.columns import Columns, cells, to_json, too_wide, wrong_width
from transforms.fields import KeyFields, RecordField, record_values
from transforms.filters import Filters, keep
from transforms.jsonline import add_fields
from transforms.layout import JSON_ROWS
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import TagRule, level

PLACEHOLDER = re.compile(r"\[(file|record)-(\w+)\]")
"""Devo's own form: `my.app.[file-log_type].[record-kind]`."""


class RoutedOptions(Struct, frozen=True):
    """Settings of the transform.

    tag: its template may hold [file-…] and [record-…]. event_type: for {event_type}, told by key or content.
    key_fields, record_fields: the values that there are. filters: what is dropped before that. added: names
    of key fields that are put into JSON events. columns: rows become JSON by the header, or by these names.
    base: tags the events instead of `tag`.
    """

    tag: TagRule
    event_type: Callable[[Block], str] = lambda _block: ""
    key_fields: KeyFields = lambda _key: {}
    record_fields: tuple[RecordField, ...] = ()
    filters: Filters = Filters()
    added: tuple[str, ...] = ()
    columns: Columns | None = None
    stamp: Stamp = NO_STAMP
    base: Transform | None = None


def transform(options: RoutedOptions) -> Transform:
    """Return the transform of events that are routed by key and content."""
    by_record = _named(options, "record")
    of_event = tuple(one for one in options.record_fields if one.name in by_record)

    def run(block: Block) -> Iterator[Item]:
        counts = Counter[str]()
        for row in _rows(block, options):
            if not isinstance(row, Block):
                yield row
                continue
            kept, dropped = keep(row, options.filters) if options.filters.rules else (row, {})
            counts.update(dropped)
            if kept.count:
                yield from _tagged(kept, options, of_event)
        options.filters.tell(counts)

    return run


def _named(options: RoutedOptions, source: str) -> set[str]:
    return {name for of, name in PLACEHOLDER.findall(options.tag.template) if of == source}


def _rows(block: Block, options: RoutedOptions) -> Iterator[Item]:
    if options.columns is None or block.header == JSON_ROWS:
        yield block
        return
    columns = options.columns
    names = columns.names_of(block)
    if wide := too_wide(block, names):
        yield wide
        return
    if columns.quoted and f'{columns.separator} "'.encode() in block.payload:
        yield from _one_by_one(block, names, columns.separator)
        return
    quote = '"' if columns.quoted else ""
    made = list(to_json(block, names, frozenset(), columns.separator, quote))
    yield from made if _are_lines(made, block.count) else _one_by_one(block, names, columns.separator)


def _are_lines(items: Sequence[Item], count: int) -> bool:
    """Tell whether `count` rows became a line each."""
    lines = [(one.payload if isinstance(one, Block) else one.body).count(b"\n") for one in items]
    counts = [one.count if isinstance(one, Block) else lines[at] for at, one in enumerate(items)]
    return lines == counts and sum(counts) == count


def _one_by_one(block: Block, names: Sequence[str], separator: str) -> Iterator[Item]:
    """Make JSON of rows that Arrow reads otherwise than they are meant.

    A space before a quote is a part of the value to it, and a quote that stays open takes the rows behind it
    into the value.
    """
    lines = block.payload.decode().split("\n")[:-1]
    rows = [cells(line, separator) for line in lines]
    made = [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows if len(row) == len(names)]
    bad = [line for line, row in zip(lines, rows, strict=True) if len(row) != len(names)]
    if made:
        yield replace(block, payload=b"\n".join([*made, b""]), count=len(made))
    if bad:
        yield wrong_width(block, len(names), bad)


def _tagged(block: Block, options: RoutedOptions, of_event: Sequence[RecordField]) -> Iterator[Item]:
    values = options.key_fields(block.origin.key)
    if options.added:
        told = {name: values.get(name, "") for name in options.added}
        block = replace(block, payload=add_fields(block.payload, told))
    if options.base:
        yield from options.base(block)
        return
    for part, more in _parts(block, of_event):
        rule = replace(options.tag, template=_filled(options.tag.template, values, more))
        kind = options.event_type(block)
        yield options.stamp.on(replace(part, tag=rule.tag_of_object(kind, block.origin)))


def _filled(template: str, of_key: Mapping[str, str], of_record: Mapping[str, str]) -> str:
    def text(found: re.Match[str]) -> str:
        values = of_key if found[1] == "file" else of_record
        return level(values.get(found[2], ""))

    return PLACEHOLDER.sub(text, template)


def _parts(block: Block, wanted: Sequence[RecordField]) -> Iterator[tuple[Block, Mapping[str, str]]]:
    """Divide a block by the values of its events; within a part, they keep their order."""
    if not wanted:
        yield block, {}
        return
    columns = record_values(block.payload, block.count, wanted)
    names = [one.name for one in wanted]
    for values, part in divide(block, zip(*columns, strict=True)).items():
        yield part, dict(zip(names, values, strict=True))
