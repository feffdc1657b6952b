"""Events are left out by rules: what stays and what goes is all there was, whatever the rule."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.block import Block, Item, Origin, made_of
from transforms.columns import Columns
from transforms.fields import RecordField, key_fields, split
from transforms.filters import Filters, Rule, compiles, filtered, keep

KEYS = key_fields({"kind": [split("/", 0)]})
TYPE = RecordField("type", ("type",))
ROWS = b'{"type":"a","n":1}\n{"type":"b.c","n":2}\n{"n":3}\n{"type":"a","n":4}\n'


def block(payload: bytes = ROWS, key: str = "web app/x", header: bytes = b"") -> Block:
    return Block(payload, payload.count(b"\n"), Origin("custom", "1", "eu-west-1", object=key), header=header)


def filters(*lists: tuple[Rule, ...], columns: Columns | None = None) -> Filters:
    return Filters({str(at): one for at, one in enumerate(lists)}, (TYPE,), KEYS, columns)


def numbers(kept: Block) -> list[int]:
    return [json.loads(line)["n"] for line in kept.payload.splitlines()]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ([(Rule("record", "type", ("a",)),)], [2, 3]),
        ([(Rule("record", "type", ("a", "b.c")),)], [3]),
        ([(Rule("record", "type", ("a",), negated=True),)], [1, 4]),
        ([(Rule("record", "type", ("a",)), Rule("line", pattern="4"))], [1, 2, 3]),
        ([(Rule("record", "type", ("a",)),), (Rule("line", pattern='"n":3'),)], [2]),
        ([(Rule("record", "type", pattern="^b"),)], [1, 3, 4]),
        ([(Rule("file", "kind", ("web app",)),)], []),
        ([(Rule("file", "kind", ("other",)),)], [1, 2, 3, 4]),
        ([(Rule("line", pattern="nowhere"),)], [1, 2, 3, 4]),
    ],
)
def test_rules_drop_events(rules, left):
    """All conditions of a list drop an event, any list does."""
    kept, counts = keep(block(), filters(*rules))
    assert numbers(kept) == left
    assert kept.count == len(left)
    assert sum(counts.values()) == 4 - len(left)


def test_an_event_is_counted_for_the_first_rule_that_drops_it():
    """What several rules would drop is counted once."""
    both = filters((Rule("record", "type", ("a",)),), (Rule("line", pattern="n"),))
    kept, counts = keep(block(), both)
    assert (kept.count, counts) == (0, {"0": 2, "1": 2})


def test_columns_of_text_have_names_and_numbers():
    """A field of a row is found by its name in the header, or by its number; one that is short has none."""
    rows = block(b"a ACCEPT\nb REJECT\nc\n", header=b"id action")
    for key in ("action", "1"):
        only = Filters(
            {"x": (Rule("record", "action", ("ACCEPT",)),)},
            (RecordField("action", (key,)),),
            columns=Columns(" ", quoted=False),
        )
        kept, _ = keep(rows, only)
        assert kept.payload == b"b REJECT\nc\n"
    quoted = Filters(
        {"x": (Rule("record", "two", ("b,c",)),)}, (RecordField("two", ("1",)),), columns=Columns()
    )
    kept, _ = keep(block(b'"a","b,c"\n"a","b"\n'), quoted)
    assert kept.payload == b'"a","b"\n'


def test_without_rules_there_is_no_step():
    """The transform itself is what runs: nothing is called, looked at or copied for a block."""
    transform = list
    assert filtered(transform, Filters()) is transform


def test_a_sample_is_the_same_again_and_of_its_size():
    """One event in so many is kept, whatever block it comes in; of a field's value all or none."""
    events = [b'{"type":"t%d","n":%d}\n' % (n % 50, n) for n in range(5_000)]
    sample = filters((Rule("line", keep_one_in=10),))
    together, _ = keep(block(b"".join(events)), sample)
    alone = [keep(block(one), sample)[0].payload for one in events]
    assert together.payload == b"".join(alone)
    assert 350 < together.count < 650
    by_value, _ = keep(block(b"".join(events)), filters((Rule("record", "type", keep_one_in=5),)))
    assert set(Counter(json.loads(one)["type"] for one in by_value.payload.splitlines()).values()) == {100}


def test_a_sample_may_be_of_some_events_only():
    """Beside another condition of its list, only events that fulfil that are thinned out."""
    events = b"".join(b'{"type":"%b","n":%d}\n' % (b"ab"[n % 2 :][:1], n) for n in range(400))
    kept, _ = keep(block(events), filters((Rule("record", "type", ("a",)), Rule("line", keep_one_in=100))))
    found = Counter(json.loads(line)["type"] for line in kept.payload.splitlines())
    assert found["b"] == 200
    assert found["a"] < 20


def test_what_fails_behind_the_filter_is_counted_once():
    """A transform that fails on an event gets the others again: what was dropped meanwhile counts once."""
    told = Counter[str]()

    def fails(given: Block) -> list[Item]:
        if b'"n":3' in given.payload:
            raise ValueError("no")
        return [given]

    rules = Filters(
        {"x": (Rule("record", "type", ("a",)),)}, (TYPE,), dropped=lambda r, n: told.update({r: n})
    )
    items = made_of(block(), filtered(fails, rules))
    assert [type(item).__name__ for item in items].count("Poison") == 1
    assert told == {"x": 2}


_texts = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=6)
_lines = st.lists(
    st.one_of(
        st.builds(lambda kind, n: json.dumps({"type": kind, "n": n}), _texts | st.integers(), st.integers()),
        st.sampled_from(
            ["plain text", "{", '{"type":', "[1]", '{"type":{"a":1}}', "é\u2028", "a,b", '"x","y']
        ),
    ),
    min_size=1,
    max_size=12,
)
_sources = st.sampled_from([("line", ""), ("record", "type"), ("file", "kind")])
_rules = st.lists(
    st.lists(
        st.builds(
            lambda source, values, pattern, negated, one_in: Rule(*source, values, pattern, negated, one_in),
            _sources,
            st.lists(_texts, min_size=1, max_size=3).map(tuple),
            st.sampled_from(["", "a", "^.", "type"]),
            st.booleans(),
            st.sampled_from([1, 2, 3]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    min_size=1,
    max_size=3,
)


@given(_lines, _rules, st.sampled_from([None, Columns(), Columns(" ", quoted=False)]))
def test_kept_and_dropped_are_all(lines, rules, columns):
    """For all events and every kind of rule: each is kept or counted once; kept ones keep bytes and order."""
    given_ = block("".join(f"{line}\n" for line in lines).encode())
    kept, counts = keep(given_, filters(*rules, columns=columns))
    assert kept.count + sum(counts.values()) == given_.count
    left = kept.payload.split(b"\n")[:-1]
    assert len(left) == kept.count
    rest = iter(line.encode() for line in lines)
    assert all(line in rest for line in left)
    again, more = keep(given_, filters(*rules, columns=columns))
    assert (again, more) == (kept, counts)


def test_patterns_are_re2():
    """What RE2 cannot do in linear time is refused when the configuration is read."""
    compiles(r"^(a+)+b")
    for pattern in (r"(a)\1", "(?<=a)b", "("):
        with pytest.raises(ValueError, match="RE2"):
            compiles(pattern)
