"""The form of HTTP requests and the meaning of answers: pure functions."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.errors import OutputThrottled, Refused, ServerFailed
from sinks.request import HttpAnswer, HttpEndpoint, Parcel, accept, cut, waiting
from sinks.settings import parse_output

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def place(**options):
    given_ = {"endpoint": "https://http-eu.devo.io", "domain": "acme", "token": "planted", "host": "h-1"}
    return HttpEndpoint.of(parse_output("o", {"type": "devo_http", "config": {**given_, **options}}).config)


def test_head_is_the_documented_form():
    """POST /stream/<domain>/token!<token>/<host>/<tag>, with the size of the body and how it is packed."""
    assert place().head("my.app.test", 17, gzip=True) == (
        b"POST /stream/acme/token!planted/h-1/my.app.test HTTP/1.1\r\n"
        b"Host: http-eu.devo.io:443\r\n"
        b"User-Agent: devo-aws-collector\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Encoding: gzip\r\n"
        b"Content-Length: 17\r\n\r\n"
    )
    assert b"Content-Encoding" not in place().head("my.app.test", 17, gzip=False)


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("https://http-us.devo.io", ("http-us.devo.io", 443, True)),
        ("https://collector-ap.devo.io:8443/", ("collector-ap.devo.io", 8443, True)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False)),
        ("http://[::1]", ("::1", 80, False)),
    ],
)
def test_endpoint_gives_address_port_and_tls(endpoint, where):
    """An endpoint's port is its scheme's when it names none."""
    found = place(endpoint=endpoint)
    assert (found.address, found.port, found.tls) == where


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_h21_no_setting_or_tag_breaks_a_request(domain, token, host, tag):
    """Whatever is in domain, token, host or tag: the request line has three words and the path five parts."""
    try:
        head = place(domain=domain, token=token, host=host).head(tag, 1, gzip=True)
    except UnicodeEncodeError:  # a lone surrogate is in no file
        return
    line, *rest = head.split(b"\r\n")
    assert len(line.split(b" ")) == 3
    assert line.split(b" ")[1].count(b"/") == 5
    assert len(rest) == 7


def test_token_is_in_no_representation():
    """The place of an output shows no token."""
    assert "planted" not in f"{place()!r} {place()}"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 40))
def test_cut_loses_nothing_and_keeps_within_bounds(sizes, most):
    """Pieces are whole lines, in order, and exceed the bound only where one line does."""
    payload = b"".join(b"x" * size + b"\n" for size in sizes)
    pieces = cut(payload, most)
    assert b"".join(pieces) == payload
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= most or piece.count(b"\n") == 1 for piece in pieces)


def test_parcels_count_their_events():
    """Cut parcels hold the events of the whole, under the same tag."""
    parcel = Parcel("t.t")
    parcel.add(b"a\nbb\n", 2)
    parcel.add(b"ccc\n", 1)
    parts = parcel.cut(4)
    assert [(part.tag, part.payloads, part.size, part.events) for part in parts] == [
        ("t.t", [b"a\n"], 2, 1),
        ("t.t", [b"bb\n"], 3, 1),
        ("t.t", [b"ccc\n"], 4, 1),
    ]
    assert parcel.cut(9) == [parcel]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_the_receipt(status):
    """Any 2xx means that the events were received."""
    accept(HttpAnswer(status), "there", NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Refused) for status in (301, 302, 307, 308, 400, 401, 403, 404, 405, 407, 411, 413, 418)),
        *((status, ServerFailed) for status in (102, 408, 421, 425, 500, 502, 503, 504, 599, 999)),
        (429, OutputThrottled),
    ],
)
def test_failures_are_told_apart(status, kind):
    """Refusals need a person, server errors time, 429 fewer requests; each names its status and a hint."""
    with pytest.raises(kind) as caught:
        accept(HttpAnswer(status, "7"), "there", NOW)
    assert type(caught.value) is kind
    assert str(status) in caught.value.what
    assert (caught.value.where, bool(caught.value.hint)) == ("there", True)
    assert caught.value.wait == (60.0 if kind is Refused else 7.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 3 ", 3.0),
        (format_datetime(NOW.replace(minute=6), usegmt=True), 120.0),
        ("Fri, 02 Jan 2026 03:06:05 -0000", 120.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("9" * 400, 999_999_999.0),
        ("Fri, 02 Jan 99999999999 03:06:05 GMT", 0.0),
        ("Fri, 02 Jan 2026 03:06:05 +99999999999999999999", 0.0),
        *((nonsense, 0.0) for nonsense in ("", None, "soon", "-1", "1.5", "٣", "\x00")),
    ],
)
def test_retry_after_has_two_forms(header, seconds):
    """Seconds or a date; what makes no sense asks for nothing."""
    assert waiting(header, NOW) == seconds


@given(st.text(max_size=60))
def test_retry_after_never_fails(header):
    """Whatever a receiver writes there, the answer is a number of seconds that is not negative."""
    assert waiting(header, NOW) >= 0
