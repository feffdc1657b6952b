"""Fields of JSON events are replaced; nothing else of them changes, and nothing passes that may hold one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.block import Block, Origin, Poison
from transforms.masking import Mask, masked


def on(payload: bytes, *keys: str, text: str = "***") -> list[Any]:
    made = masked(lambda one: [one], Mask(keys, text))
    return list(made(Block(payload, payload.count(b"\n"), Origin("s", object="s3://b/k"), tag="a.b")))


@pytest.mark.parametrize(
    ("event", "keys", "becomes"),
    [
        (b'{"ip":"1.2.3.4","n":1.0}', ["ip"], b'{"ip":"***","n":1.0}'),
        (b'{"ip":{"v4":"x"},"n":1}', ["ip"], b'{"ip":"***","n":1}'),
        (b'{"user":{"name":"ann","id":7}}', ["user.name"], b'{"user":{"name":"***","id":7}}'),
        (
            b'{"user":[{"name":"ann"},{"name":"bob"}]}',
            ["user.name"],
            b'{"user":[{"name":"***"},{"name":"***"}]}',
        ),
        (b'{"user.name":"ann"}', ["user.name"], b'{"user.name":"***"}'),
        (b'{"user":"ann"}', ["user.name"], b'{"user":"ann"}'),
        (b'{"user":{"name":"ann"}}', ["user", "user.name"], b'{"user":"***"}'),
        (b'{"user":{"name":"ann"}}', ["user.name", "user"], b'{"user":"***"}'),
        (b'{"a":{"b":{"c":1}}}', ["a.b.c", "a.b"], b'{"a":{"b":"***"}}'),
        (b'{"ip":null}', ["ip"], b'{"ip":"***"}'),
        (b'{"a":1}', ["ip"], b'{"a":1}'),
        (b' {"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'[{"ip":"1"}]', ["ip"], b'[{"ip":"***"}]'),
        (b'{"\\u0069p":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'{"ip":"1","ip":"2"}', ["ip"], b'{"ip":"***"}'),
        ('{"é":"1"}'.encode(), ["é"], '{"é":"***"}'.encode()),
        (b"plain ip text", ["ip"], b"plain ip text"),
        (b'\xef\xbb\xbf{"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'\xef\xbb\xbf \xef\xbb\xbf[{"ip":"1"}]', ["ip"], b'[{"ip":"***"}]'),
        (b'\xef\xbf\xbd\xef\xbb\xbf{"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b' \x0b{"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'\x1e{"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'\x00{"ip":"1"}', ["ip"], b'{"ip":"***"}'),
        (b'\xef\xbb\xbf{"a":"ip","ip2":"\\u0031"}', ["ip"], b'\xef\xbb\xbf{"a":"ip","ip2":"\\u0031"}'),
        (b"\xef\xbb\xbfplain ip text", ["ip"], b"\xef\xbb\xbfplain ip text"),
        (b'\xef\xbb\xbfplain "ip" text', ["ip"], b'\xef\xbb\xbfplain "ip" text'),
    ],
)
def test_fields_are_replaced(event, keys, becomes):
    """By name, below others, in lists, escaped or twice; other values keep their characters."""
    (made,) = on(event + b"\n", *keys)
    assert (made.payload, made.count, made.tag) == (becomes + b"\n", 1, "a.b")


def test_what_cannot_be_read_does_not_pass():
    """A line that begins as JSON and is none goes to quarantine alone: its field may be anywhere."""
    good, bad = on(b'{"ip":"1"}\n{"ip":"2\n{"n":3}\n', "ip")
    assert good.payload == b'{"ip":"***"}\n{"n":3}\n'
    assert isinstance(bad, Poison)
    assert (bad.reason, bad.body) == ("mask_failed", b'{"ip":"2\n')


def test_json_behind_a_mark_that_cannot_be_read_does_not_pass():
    """A byte order mark makes no plain text of a broken event."""
    (bad,) = on(b'\xef\xbb\xbf{"ip":"2\n', "ip")
    assert isinstance(bad, Poison)


def test_the_text_may_be_any():
    """What stands there instead is written as JSON."""
    (made,) = on(b'{"ip":"1"}\n', "ip", text='"\u00e9\n')
    assert json.loads(made.payload) == {"ip": '"\u00e9\n'}


def test_without_a_mask_there_is_no_step():
    """The transform itself is what runs."""
    assert masked(list, None) is list


_names = st.sampled_from(["ip", "user", "name", "é", 'q"', "a.b"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


def expected(value: Any, path: list[str]) -> Any:
    if not path:
        return "***"
    if isinstance(value, list):
        return [expected(one, path) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: expected(one, path[1:]) if key == path[0] else one for key, one in value.items()}


@given(st.dictionaries(_names, _values), st.sampled_from(["ip", "user.name", "user.user.ip", 'q"', "é.é"]))
def test_every_value_of_the_field_is_hidden_and_no_other(event, key):
    """For all events: what json makes of them is the same but for the field."""
    (made,) = on(json.dumps(event).encode() + b"\n", key)
    assert json.loads(made.payload) == expected(event, key.split("."))
