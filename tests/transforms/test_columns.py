"""Rows become JSON objects: names from the header, nothing lost, nothing made up."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.block import Block, Origin, Poison
from transforms.columns import to_json

ORIGIN = Origin("flowlogs", object="s3://b/k")
NUMBERS = frozenset({"n"})


def objects(rows: list[str], names=("s", "n"), separator=" "):
    """Return (JSON texts, rows that did not fit)."""
    payload = "".join(f"{row}\n" for row in rows).encode()
    good, bad = [], []
    for item in to_json(Block(payload, len(rows), ORIGIN, "a.b"), names, NUMBERS, separator):
        if isinstance(item, Poison):
            assert item.reason in ("row_width", "rows_unreadable")
            assert "s3://b/k" in item.detail
            bad += item.body.decode().split("\n")[:-1]
        else:
            assert item.tag == "a.b"
            assert item.count == item.payload.count(b"\n")
            good += item.payload.decode().split("\n")[:-1]
    return good, bad


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("x 1", '{"s":"x","n":1}'),
        ("- -", '{"s":null,"n":null}'),
        ("000123 0", '{"s":"000123","n":0}'),
        ("x 007", '{"s":"x","n":"007"}'),
        ("x 0.199", '{"s":"x","n":0.199}'),
        ("x -5", '{"s":"x","n":-5}'),
        ("x 18446744073709551616", '{"s":"x","n":18446744073709551616}'),
        ("x 1e5", '{"s":"x","n":"1e5"}'),
        ("x ٣", '{"s":"x","n":"٣"}'),
        ("x .5", '{"s":"x","n":".5"}'),
        ("x NaN", '{"s":"x","n":"NaN"}'),
        ('a"b\\c 1', '{"s":"a\\"b\\\\c","n":1}'),
        ("a\tb\x01 1", '{"s":"a\\tb\\u0001","n":1}'),
        ("é🚀\u2028 1", '{"s":"é🚀\u2028","n":1}'),
        (" 1", '{"s":"","n":1}'),
        ("x ", '{"s":"x","n":""}'),
    ],
)
def test_values(row, expected):
    """Numbers are bare only where known as numbers and spelt as JSON spells them; `-` is null."""
    assert objects([row]) == ([expected], [])
    others = ["y 5", "- -", row, 'q" 6']
    assert objects(others)[0][2] == expected


def test_h11_rows_of_another_width_do_not_stop_the_others():
    """They go to quarantine together, as they were, with the number of columns that was expected."""
    rows = ["a 1", "b", "c 2 3", "d 4"]
    assert objects(rows) == (['{"s":"a","n":1}', '{"s":"d","n":4}'], ["b", "c 2 3"])
    assert objects(["b"]) == ([], ["b"])


def test_a_carriage_return_within_a_row_ends_no_row():
    """A lone CR is a blank in JSON form, not the end of a line."""
    assert objects(["a\rb\t1"], separator="\t") == (['{"s":"a b","n":1}'], [])


def test_rows_that_cannot_be_read_at_all_are_one_poison(monkeypatch):
    """An error of the CSV reader is told with the rows, and stops nothing."""

    def refuse(*_args):
        raise pa.ArrowInvalid("no")

    monkeypatch.setattr("pyarrow.csv.read_csv", refuse)
    assert objects(["a 1"]) == ([], ["a 1"])


def test_many_rows_come_in_order():
    """More rows than one batch holds."""
    good, bad = objects([f"x{number} {number}" for number in range(10_000)])
    assert [json.loads(text)["n"] for text in good] == list(range(10_000))
    assert not bad


def test_names_are_written_as_json_too():
    """A header is somebody's text: its quotes are escaped, and one name may stand twice."""
    assert objects(["1 2"], ('a"b', 'a"b')) == (['{"a\\"b":"1","a\\"b":"2"}'], [])


def test_one_column():
    """The first column is also the last."""
    assert objects(["x", "-"], ("s",)) == (['{"s":"x"}', '{"s":null}'], [])


_cell = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\t"), min_size=1, max_size=6)


@given(st.lists(st.tuples(_cell, _cell | st.integers().map(str), _cell), min_size=1, max_size=10))
def test_any_rows_are_valid_json_and_keep_their_values(rows):
    """For all values: each row is one JSON object, in order, from which the row can be told again."""
    good, bad = objects(["\t".join(row) for row in rows], ("s", "n", "t"), "\t")
    assert not bad

    def told(value, name):
        if value == "-":
            return None
        number = name == "n" and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()
        plain = number and (value.removeprefix("-") == "0" or not value.removeprefix("-").startswith("0"))
        return int(value) if plain else value

    expected = [{name: told(value, name) for name, value in zip("snt", row, strict=True)} for row in rows]
    assert [json.loads(text, parse_float=str) for text in good] == expected


@pytest.mark.parametrize(
    ("names", "rows"),
    [([f"c{n}" for n in range(100_000)], 1), (["n" * (1 << 20)], 1000)],
    ids=["many", "long"],
)
def test_a10_columns_are_bounded(names, rows):
    """A hundred thousand columns, or a name of a megabyte for each row, are poison before memory is made."""
    block = Block(b"1\n" * rows, rows, Origin("custom", object="s3://b/k"))
    (poison,) = to_json(block, names, frozenset(), ",", "")
    assert (poison.reason, poison.body) == ("rows_unreadable", block.payload)
