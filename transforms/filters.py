"""Which events are left out, by rules of the configuration.

Without rules there is no step: `filtered` returns the transform as it is. Rules are checked column by column
in Arrow, patterns by RE2, which cannot run away.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from hashlib import blake2b
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from transforms import arrow as pa
from transforms.block import Block, Item, Transform
from transforms.columns import Columns, row_values
from transforms.fields import KeyFields, RecordField, record_values


class Rule(Struct, frozen=True):
    """One condition on an event; those that fulfil all conditions of a list are dropped.

    source: `line` (its text), `record` (a field of the event), `file` (of its object's key) or `number` (its
    place in its object, from 0). name: the field. values: texts, one of which it must be, or pattern: RE2
    expression that must be found in it, or keep_one_in: over 1, the text is not one of the sample. negated:
    must not.
    """

    source: str
    name: str = ""
    values: tuple[str, ...] = ("",)
    pattern: str = ""
    negated: bool = False
    keep_one_in: int = 1


class Filters(Struct, frozen=True):
    """What is dropped of a service's events.

    rules: name → conditions; an event that fulfils all of one name is dropped, counted for the first such.
    record_fields, key_fields: the values that there are. columns: how fields stand in lines of text, None =
    events are JSON. dropped: is told the rule and how many events it dropped of a block.
    """

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    record_fields: tuple[RecordField, ...] = ()
    key_fields: KeyFields = lambda _key: {}
    columns: Columns | None = None
    dropped: Callable[[str, int], None] = lambda _rule, _count: None

    def tell(self, counts: Mapping[str, int]) -> None:
        """Count what was dropped."""
        for rule, count in counts.items():
            self.dropped(rule, count)


def filtered(transform: Transform, filters: Filters) -> Transform:
    """Return a transform that gets what no rule drops; without rules, the same one.

    What was dropped is counted last of all: a block that a transform fails on comes again in halves.
    """
    if not filters.rules:
        return transform

    def run(block: Block) -> Iterator[Item]:
        kept, counts = keep(block, filters)
        if kept.count:
            yield from transform(kept)
        filters.tell(counts)

    return run


def keep(block: Block, filters: Filters) -> tuple[Block, dict[str, int]]:
    """Return the events that no rule drops, and how many each rule dropped."""
    lines = pa.compute.split_pattern(pa.array([block.payload[:-1]], pa.string()), "\n").flatten()
    columns = _columns(block, lines, filters)
    counts: dict[str, int] = {}
    drops = None
    for name, conditions in filters.rules.items():
        fits = reduce(pa.compute.and_, [_fits(one, columns) for one in conditions])
        new = fits if drops is None else pa.compute.and_not(fits, drops)
        if new.true_count:
            counts[name] = new.true_count
            drops = fits if drops is None else pa.compute.or_(drops, fits)
    if drops is None:
        return block, {}
    left = block.count - sum(counts.values())
    payload = _joined(lines.filter(pa.compute.invert(drops))) if left else b""
    return replace(block, payload=payload, count=left), counts


def _joined(rows: Any) -> bytes:
    """Return an Arrow array of texts as newline-terminated lines."""
    whole = pa.compute.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), "\n")
    return b"".join([bytes(whole[0].as_buffer().to_pybytes()), b"\n"])


def _columns(block: Block, lines: Any, filters: Filters) -> dict[tuple[str, str], Any]:
    """Return what rules are about: the lines, and a column for each field."""
    used = {(rule.source, rule.name) for rules in filters.rules.values() for rule in rules}
    fields = [one for one in filters.record_fields if ("record", one.name) in used]
    columns: dict[tuple[str, str], Any] = {("line", ""): lines}
    if fields:
        of_text = filters.columns is not None and not block.payload.startswith(b"{")
        found = (
            row_values(block, filters.columns, fields)
            if filters.columns and of_text
            else record_values(block.payload, block.count, fields)
        )
        columns |= {
            ("record", one.name): pa.array(texts, pa.string())
            for one, texts in zip(fields, found, strict=True)
        }
    values = filters.key_fields(block.origin.key)
    for source, name in used:
        if source == "file":
            columns["file", name] = pa.repeat(pa.scalar(values.get(name, "")), block.count)
        elif source == "number":
            first = block.origin.record
            columns["number", name] = pa.array([str(first + at) for at in range(block.count)], pa.string())
    return columns


def _fits(rule: Rule, columns: Mapping[tuple[str, str], Any]) -> Any:
    column = columns[rule.source, rule.name]
    if rule.keep_one_in > 1:
        found = pa.array([_number(text) % rule.keep_one_in != 0 for text in column.to_pylist()], pa.bool_())
    elif rule.pattern:
        found = pa.compute.match_substring_regex(column, rule.pattern)
    else:
        found = pa.compute.is_in(column, pa.array(rule.values, pa.string()))
    return pa.compute.invert(found) if rule.negated else found


def _number(text: str) -> int:
    """Return a number that a text always has: an event that comes again is in the sample again."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def compiles(pattern: str) -> None:
    """Raise ValueError when RE2 does not know a pattern."""
    try:
        pa.compute.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        told = str(error).splitlines()[0]
        raise ValueError(f"is no regular expression of RE2 ({told})") from error
