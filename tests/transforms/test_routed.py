"""Events are dropped by rules and tagged by key and content; all else keeps its bytes and order."""

import pytest
from msgspec.structs import replace

from transforms.block import Block, Origin, Poison
from transforms.columns import Columns
from transforms.fields import RecordField, key_fields, split
from transforms.filters import Filters, Rule
from transforms.routed import RoutedOptions, transform
from transforms.tagged import Stamp
from transforms.tagged import transform as tagged
from transforms.tags import TagRule

KEYS = key_fields({"kind": [split("/", 0)]})
TYPE = RecordField("type", ("type",))
ROWS = b'{"type":"a","n":1}\n{"type":"b.c","n":2}\n{"n":3}\n{"type":"a","n":4}\n'


def block(payload: bytes = ROWS, key: str = "web app/x", header: bytes = b"") -> Block:
    return Block(payload, payload.count(b"\n"), Origin("custom", "1", "eu-west-1", object=key), header=header)


def run(options: RoutedOptions, of: Block | None = None):
    return list(transform(options)(of or block()))


def test_a_fixed_tag_lets_a_block_pass():
    """Without rules and values, the very bytes of the block come out, tagged."""
    one = block()
    (made,) = run(RoutedOptions(TagRule("my.app.x")), one)
    assert made == replace(one, tag="my.app.x")
    assert made.payload is one.payload


def test_values_of_the_key_are_levels():
    """[file-…] is a value of the object's key, fit for a tag; one that is not there is unknown."""
    (made,) = run(RoutedOptions(TagRule("my.[file-kind].[file-none].{region}"), key_fields=KEYS))
    assert made.tag == "my.web_app.unknown.eu-west-1"


def test_values_of_events_divide_a_block():
    """[record-…] gives each value its tag; within a tag events keep their order, and none is lost."""
    made = run(RoutedOptions(TagRule("my.app.[record-type]"), record_fields=(TYPE,)))
    assert [(one.tag, one.count, one.payload) for one in made] == [
        ("my.app.a", 2, b'{"type":"a","n":1}\n{"type":"a","n":4}\n'),
        ("my.app.b_c", 1, b'{"type":"b.c","n":2}\n'),
        ("my.app.unknown", 1, b'{"n":3}\n'),
    ]


def test_fields_of_the_key_are_put_into_events():
    """`added` names what each JSON event is told of its object's key; the stamp stands before it."""
    options = RoutedOptions(TagRule("a.b"), key_fields=KEYS, added=("kind",), stamp=Stamp("pro"))
    (made,) = run(options, block(b'{"n":1}\n{}\n'))
    assert made.payload == (
        b'{"@devo_environment":"pro","kind":"web app","n":1}\n{"@devo_environment":"pro","kind":"web app"}\n'
    )


def test_another_transform_can_tag():
    """With a base, rules come first and its tags are kept."""
    options = RoutedOptions(
        TagRule("unused.x"),
        filters=Filters({"x": (Rule("line", pattern='"n":[12]'),)}),
        base=tagged(TagRule("the.base")),
    )
    (made,) = run(options)
    assert (made.tag, made.count) == ("the.base", 2)


def test_rows_become_json_by_the_header():
    """Quoted fields, separators within them and missing columns are read as CSV says."""
    rows = block(b'1,"a ""b""\x0b","x,y"\n2,,-\n3\n', header=b'n,"name",t')
    made, bad = run(RoutedOptions(TagRule("a.b"), columns=Columns()), rows)
    assert made.payload == (b'{"n":"1","name":"a \\"b\\"\\u000b","t":"x,y"}\n{"n":"2","name":"","t":"-"}\n')
    assert isinstance(bad, Poison)
    assert (bad.reason, bad.body) == ("row_width", b"3\n")


def test_h13_a_space_before_a_quote_is_no_part_of_a_value():
    """Rows of the form a, "b, c" are divided as their writer meant, and others of the block as well."""
    rows = block(b'1, "a, ""b""", 2\n3,c,4\n5\n', header=b'n, "the name", m')
    made, bad = run(RoutedOptions(TagRule("a.b"), columns=Columns()), rows)
    assert made.payload == (b'{"n":"1","the name":"a, \\"b\\"","m":"2"}\n{"n":"3","the name":"c","m":"4"}\n')
    assert bad.body == b"5\n"


@pytest.mark.parametrize("more", [b"", b"4,5\n6,7\n"])
def test_h21_a_quote_that_stays_open_takes_no_row_with_it(more):
    """A row with an open quote is one event on one line, and the rows behind it stay events of their own."""
    rows = block(b'1,2\n3,"4\n' + more, header=b"a,b")
    (made,) = run(RoutedOptions(TagRule("a.b"), columns=Columns()), rows)
    lines = made.payload.split(b"\n")[:-1]
    assert lines[:2] == [b'{"a":"1","b":"2"}', b'{"a":"3","b":"4"}']
    assert len(lines) == made.count == rows.count


def test_h21_rows_read_one_by_one_may_be_long_and_hold_carriage_returns():
    """Python's CSV parser stops at 128 KiB and at a carriage return: a row has both all the same."""
    long = b"x" * 300_000
    (made,) = run(
        RoutedOptions(TagRule("a.b"), columns=Columns()),
        block(b'1, "' + long + b'"\n2,y\rz\n', header=b"a,b"),
    )
    assert made.payload == b'{"a":"1","b":"' + long + b'"}\n{"a":"2","b":"y z"}\n'


def test_rows_without_names_are_numbered():
    """Columns that nothing names are 0, 1, 2 …; names of the settings come before the header's."""
    (made,) = run(RoutedOptions(TagRule("a.b"), columns=Columns("\t", quoted=False)), block(b'x\t"y\n'))
    assert made.payload == b'{"0":"x","1":"\\"y"}\n'
    (made,) = run(
        RoutedOptions(TagRule("a.b"), columns=Columns("\t", ("p", "q"))), block(b"x\ty\n", header=b"h\ti")
    )
    assert made.payload == b'{"p":"x","q":"y"}\n'
