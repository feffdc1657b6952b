"""Events of a table that key and content tell: lines are dropped by rules, the rest tagged by a template.

Without rules and without values of the events in the tag, a block passes as it came, with one tag. Rules are
checked column by column in Arrow, patterns by RE2, which cannot run away.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from transforms import arrow as pa
from transforms.block import Block, Item, Transform, divide
from transforms.columns import to_json, too_wide, wrong_width
from transforms.fields import KeyFields, RecordField, record_values
from transforms.jsonline import add_fields
from transforms.layout import JSON_ROWS
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import TagRule, level

PLACEHOLDER = re.compile(r"\[(file|record)-(\w+)\]")
"""Devo's own form: `my.app.[file-log_type].[record-kind]`."""


class Rule(Struct, frozen=True):
    """One condition on an event; those that fulfil all conditions of a list are dropped.

    source: `line` (its text), `record` (a field of the event) or `file` (of its object's key). name: the
    field. value: text that it must be, or pattern: RE2 expression that must be found in it.
    negated: must not.
    """

    source: str
    name: str = ""
    value: str = ""
    pattern: str = ""
    negated: bool = False


class RoutedOptions(Struct, frozen=True):
    """Settings of the transform.

    tag: its template may hold [file-…] and [record-…]. event_type: for {event_type}, told by key or content.
    key_fields, record_fields: the values that there are. rules: lists of conditions, any of which drops.
    dropped: is told how many events the rules dropped of a block. added: names of key fields that are put
    into JSON events. columns: rows become JSON by the header, or by these names. base: tags the events
    instead of `tag`.
    """

    tag: TagRule
    event_type: Callable[[Block], str] = lambda _block: ""
    key_fields: KeyFields = lambda _key: {}
    record_fields: tuple[RecordField, ...] = ()
    rules: tuple[tuple[Rule, ...], ...] = ()
    dropped: Callable[[int], None] = lambda _count: None
    added: tuple[str, ...] = ()
    columns: "Columns | None" = None
    stamp: Stamp = NO_STAMP
    base: Transform | None = None


class Columns(Struct, frozen=True):
    """How rows become JSON. names: of columns, none = the header's. quoted: fields may stand in quotes."""

    separator: str = ","
    names: tuple[str, ...] = ()
    quoted: bool = True

    def names_of(self, block: Block) -> list[str]:
        """Return the names for a block's rows; numbers where there are none."""
        if self.names:
            return list(self.names)
        header = block.header.decode()
        if not header:
            width = block.payload.partition(b"\n")[0].count(self.separator.encode()) + 1
            return [str(number) for number in range(width)]
        return _cells(header, self.separator) if self.quoted else header.split(self.separator)


def transform(options: RoutedOptions) -> Transform:
    """Return the transform of events that are routed by key and content."""
    by_record = _named(options, "record")
    of_event = tuple(one for one in options.record_fields if one.name in by_record)

    def run(block: Block) -> Iterator[Item]:
        for row in _rows(block, options):
            kept = _kept(row, options) if isinstance(row, Block) and options.rules else row
            if not isinstance(kept, Block):
                yield kept
            elif kept.count:
                yield from _tagged(kept, options, of_event)

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
    rows = [_cells(line, separator) for line in lines]
    made = [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows if len(row) == len(names)]
    bad = [line for line, row in zip(lines, rows, strict=True) if len(row) != len(names)]
    if made:
        yield replace(block, payload=b"\n".join([*made, b""]), count=len(made))
    if bad:
        yield wrong_width(block, len(names), bad)


def _cells(line: str, separator: str) -> list[str]:
    """Divide one row. Python's parser stops at a carriage return, and at a field of 128 KiB."""
    csv.field_size_limit(max(csv.field_size_limit(), len(line)))
    return next(csv.reader([line.replace("\r", " ")], delimiter=separator, skipinitialspace=True), [])


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


def _kept(block: Block, options: RoutedOptions) -> Block:
    """Return the events that no list of rules drops."""
    lines = pa.compute.split_pattern(pa.array([block.payload[:-1]], pa.string()), "\n").flatten()
    columns = _columns(block, lines, options)
    rules = [reduce(pa.compute.and_, [_fits(one, columns) for one in each]) for each in options.rules]
    drops = reduce(pa.compute.or_, rules)
    gone = drops.true_count
    if not gone:
        return block
    options.dropped(gone)
    if gone == block.count:
        return replace(block, payload=b"", count=0)
    return replace(block, payload=_joined(lines.filter(pa.compute.invert(drops))), count=block.count - gone)


def _joined(rows: Any) -> bytes:
    """Return an Arrow array of texts as newline-terminated lines."""
    whole = pa.compute.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), "\n")
    return b"".join([bytes(whole[0].as_buffer().to_pybytes()), b"\n"])


def _columns(block: Block, lines: Any, options: RoutedOptions) -> dict[tuple[str, str], Any]:
    """Return what rules are about: the lines, and a column for each field."""
    used = {rule.name for rules in options.rules for rule in rules if rule.source == "record"}
    fields = [one for one in options.record_fields if one.name in used]
    columns: dict[tuple[str, str], Any] = {("line", ""): lines}
    if fields:
        found = record_values(block.payload, block.count, fields)
        columns |= {
            ("record", one.name): pa.array(texts, pa.string())
            for one, texts in zip(fields, found, strict=True)
        }
    values = options.key_fields(block.origin.key)
    for name in {rule.name for rules in options.rules for rule in rules if rule.source == "file"}:
        columns["file", name] = pa.repeat(pa.scalar(values.get(name, "")), block.count)
    return columns


def _fits(rule: Rule, columns: Mapping[tuple[str, str], Any]) -> Any:
    column = columns[rule.source, rule.name]
    if rule.pattern:
        found = pa.compute.match_substring_regex(column, rule.pattern)
    else:
        found = pa.compute.equal(column, rule.value)
    return pa.compute.invert(found) if rule.negated else found


def compiles(pattern: str) -> None:
    """Raise ValueError when RE2 does not know a pattern."""
    try:
        pa.compute.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        told = str(error).splitlines()[0]
        raise ValueError(f"is no regular expression of RE2 ({told})") from error
