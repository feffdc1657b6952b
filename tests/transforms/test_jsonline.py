"""Fields are put into JSON events without parsing them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.jsonline import add_fields

FIELDS = {"@devo_environment": 'p"ro'}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1}\n', b'{"e":"x","a":1}\n'),
        (b'{"a":1}\n{"b":{}}\n', b'{"e":"x","a":1}\n{"e":"x","b":{}}\n'),
        (b"{}\n{}\n", b'{"e":"x"}\n{"e":"x"}\n'),
        (b'[1]\n"{"\n{"a":[{}]}\n', b'[1]\n"{"\n{"e":"x","a":[{}]}\n'),
        (b"", b""),
    ],
    ids=["one", "two", "empty objects", "no objects", "nothing"],
)
def test_fields_come_first(payload, expected):
    """Each object gets them at its beginning; what is no object stays as it is."""
    assert add_fields(payload, {"e": "x"}) == expected


def test_no_fields_no_change():
    """Nothing to add costs nothing: the same bytes come back."""
    payload = b'{"a":1}\n'
    assert add_fields(payload, {}) is payload


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.just({}), max_size=3), max_size=6)
)
def test_any_objects_keep_their_fields(values):
    """For all objects: the line is the object with the fields before its own."""
    payload = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    lines = add_fields(payload, FIELDS).split(b"\n")[:-1]
    assert [json.loads(line) for line in lines] == [{**FIELDS, **value} for value in values]
