"""Events within JSON documents keep their bytes, and what is not there is told."""

import json

import pytest

from transforms.documents import carried, fields, lines_under, log_events, under

SUBSCRIPTION = {
    "messageType": "DATA_MESSAGE",
    "owner": "000123456789",
    "logGroup": "/g",
    "logStream": "s",
    "subscriptionFilters": ["f"],
    "logEvents": [
        {"id": "1", "timestamp": 5, "message": 'a "b" \n\u00e9'},
        {"id": "2", "timestamp": 6, "message": ""},
    ],
}
CONTROL = {**SUBSCRIPTION, "messageType": "CONTROL_MESSAGE"}


def raw(value) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def test_log_events_are_spelt_as_the_apis():
    """Each log event is one event with its group, stream and account."""
    first, second = map(json.loads, log_events(raw(SUBSCRIPTION)))
    assert first == {
        "logGroup": "/g",
        "logStream": "s",
        "timestamp": 5,
        "eventId": "1",
        "message": 'a "b" \n\u00e9',
        "account": "000123456789",
    }
    assert second["message"] == ""


def test_control_messages_hold_no_events():
    """What CloudWatch Logs sends to try a destination is nothing to send on."""
    assert log_events(raw(CONTROL)) == carried(raw(CONTROL)) == []


def test_what_is_no_subscription_is_told():
    """A document without log events is not taken for an empty one."""
    with pytest.raises(ValueError, match="no logEvents"):
        log_events(b'{"messageType":"DATA_MESSAGE"}')
    with pytest.raises(ValueError, match="no log subscription"):
        log_events(b'{"messageType":"DATA_MESSAGE","logEvents":7}')


def test_control_characters_in_messages_are_read():
    """A document that only a lenient parser reads has its events too."""
    document = raw(SUBSCRIPTION).replace(rb"\n", b"\x01")
    assert json.loads(log_events(document)[0])["message"] == 'a "b" \x01\u00e9'
    assert carried(document) == ['a "b" \x01\u00e9'.encode()]


def test_firehose_carries_messages_details_and_documents():
    """Messages of a subscription, an EventBridge event's detail, and anything else as it is."""
    assert carried(raw(SUBSCRIPTION)) == ['a "b"  \u00e9'.encode()]
    assert carried(b'{"detail-type":"x","detail":{"a": 1}}') == [b'{"a": 1}']
    assert carried(b'{"detail":{"a":1}}') == [b'{"detail":{"a":1}}']


@pytest.mark.parametrize(
    ("path", "include", "rename", "document", "expected"),
    [
        (("a",), {}, {}, b'{"a":[{"x": 1},2]}', [b'{"x": 1}', b"2"]),
        (("a", "b"), {}, {}, b'{"a":{"b":{"x":1}}}', [b'{"x":1}']),
        (
            ("a",),
            {"o": "p", "none": "q"},
            {},
            b'{"o":"1","a":[{},{ "x":1},3]}',
            [b'{"p":"1"}', b'{"p":"1","x":1}', b"3"],
        ),
        (("a",), {}, {"x": "y"}, b'{"a":{"x":1,"z":[2]}}', [b'{"y":1,"z":[2]}']),
        (("a",), {}, {}, b'{"a":null}', []),
        (("a",), {}, {}, b'{"a":[]}', []),
    ],
)
def test_events_under_a_key(path, include, rename, document, expected):
    """Elements of an array or one object, with keys put in and renamed, bytes as they were."""
    assert under(path, include, rename)(document) == expected


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b'{"b":1}', "no a, but b"),
        (b"{}", "no a, but nothing"),
        (b"[1]", "no JSON object"),
        (b"{", "no JSON object"),
        (b'{"a":{"c":1}}', "no a.b, but c"),
        (b'{"a":[1]}', "no JSON object"),
    ],
)
def test_a_missing_key_is_told(document, told):
    """An error names the key, and what is there instead."""
    with pytest.raises(ValueError, match=told):
        under(("a", "b"), {}, {})(document)


def test_lines_under_keys():
    """Lines of text under each of the keys that are there; blank ones are no events."""
    assert lines_under(("out", "err"))(b'{"err":"x","out":"a\\n\\n b\\r\\n"}') == [b"a", b" b", b"x"]
    with pytest.raises(ValueError, match="no out or err, but other"):
        lines_under(("out", "err"))(b'{"other":1}')


def test_fields_keep_their_bytes():
    """Values of a document are not written anew."""
    assert fields(b'{"a":1.0e3,"b":"\\u00e9"}') == {"a": b"1.0e3", "b": b'"\\u00e9"'}


def test_a10_a_return_within_a_line_does_not_split_it():
    """Only a newline ends a line; the return before it goes with it."""
    unwrap = lines_under(("out",))
    assert unwrap(b'{"out":"a\\rb\\r\\nc\\n\\n"}') == [b"a\rb", b"c"]


def test_a10_nesting_is_a_damage_of_the_document():
    """An array nested too deeply for the parser is told as what the document lacks."""
    unwrap = under(("Records",), {}, {})
    with pytest.raises(ValueError, match="document"):
        unwrap(b'{"Records":' + b"[" * 5000 + b"]" * 5000 + b"}")
