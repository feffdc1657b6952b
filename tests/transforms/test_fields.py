"""Values out of keys and events."""

import re

import pytest

from transforms.fields import RecordField, applied, key_fields, record_values, replaced, split


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], "a/b_c/d.gz"),
        ([split("/", 1)], "b_c"),
        ([split("/", -1), split(".", 0)], "d"),
        ([split("/", 7)], ""),
        ([split("/", 1), replaced("_", "")], "bc"),
    ],
)
def test_operations_are_applied_in_order(steps, expected):
    """Split keeps a part, or nothing when there is none; replace replaces all."""
    assert applied("a/b_c/d.gz", steps) == expected


def test_a_keys_fields():
    """Named groups and definitions are fields; a pattern that is not found gives none."""
    made = key_fields({"last": [split("/", -1)]}, re.compile(r"^(?P<kind>\w+)/(?P<day>\d+)?").search)
    assert made("web/x") == {"kind": "web", "day": "", "last": "x"}
    assert made("-") == {"last": "-"}


FIELDS = (
    RecordField("kind", ("file", "type")),
    RecordField("n", ("n",), (str.upper,)),
)


def test_values_of_events():
    """Text as it is, other values as JSON, nothing where a line has none."""
    payload = b'{"file":{"type":"a"},"n":"x"}\n{"n":1.5,"file":[]}\n{"file":{"type":[1]},"n":true}\n{}\n'
    assert record_values(payload, 4, FIELDS) == [["a", "", "[1]", ""], ["X", "1.5", "TRUE", ""]]


def test_lines_that_are_no_objects_have_no_values():
    """Broken lines, other JSON and several values on a line do not shift the others."""
    payload = b'{"n":"a"}\n[1]\nbroken {\n{"n":"b"}{"n":"c"}\n{"n":"\\ud800"}\n{"n":"d"}\n'
    assert record_values(payload, 6, FIELDS[1:]) == [["A", "", "", "", "?", "D"]]
