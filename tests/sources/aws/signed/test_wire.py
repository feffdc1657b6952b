"""The plainest HTTP exchange, whole or not at all: another reply is an error, and costs its connection."""

import socket
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.aws.signed.wire import Wire, WireEndpoint, WireError, WireReply
from tests.fakes.process import HOST, wait_until

ASKED = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


class Server:
    """Answers one request after the other with lists of pieces; an empty one ends the connection."""

    def __init__(self, *replies: list[bytes]) -> None:
        self.replies, self.connections = list(replies), 0
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self.replies:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with line:
                with suppress(OSError):  # a client that has enough is gone
                    while self.replies and self.replies[0] and line.recv(65536):
                        for piece in self.replies.pop(0):
                            line.sendall(piece)
                if self.replies and not self.replies[0]:
                    self.replies.pop(0)

    def close(self) -> None:
        self._listener.close()

    def wire(self) -> Wire:
        return Wire(WireEndpoint(HOST, self.port, None, 2.0, 1.0))


@pytest.fixture
def server():
    made = []

    def start(*replies: list[bytes]) -> Server:
        made.append(Server(*replies))
        return made[-1]

    yield start
    for one in made:
        one.close()


def sized(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks


@pytest.mark.parametrize("reply", [sized(b'{"a": 1}'), chunked(b'{"a"', b": 1}")])
def test_a_plain_reply_is_read(server, reply):
    """By its length or in chunks; the next request goes over the same connection."""
    one = server([reply], [reply])
    wire = one.wire()
    assert [wire.ask(ASKED), wire.ask(ASKED)] == [WireReply(200, b'{"a": 1}')] * 2
    assert one.connections == 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([sized(b"0123456789" * 30), chunked(b"0123456789" * 20, b"x" * 100)]), st.data())
def test_a_reply_may_come_in_any_pieces(reply, data):
    """Wherever the network cuts it, the body is the same."""
    cuts = sorted(data.draw(st.lists(st.integers(1, len(reply) - 1), max_size=6)))
    pieces = [reply[start:end] for start, end in zip([0, *cuts], [*cuts, len(reply)], strict=True)]
    one = Server(pieces)
    assert len(one.wire().ask(ASKED).body) == 300
    one.close()


def test_a_reply_that_says_close_is_the_connections_last(server):
    """The next request opens another one."""
    one = server([sized(b"{}", b"Connection: close\r\n")], [sized(b"{}")])
    wire = one.wire()
    wire.ask(ASKED)
    wire.ask(ASKED)
    assert one.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used(server):
    """AWS ends idle connections without a word: a request on one of them would be lost."""
    one = server([sized(b"{}")], [], [sized(b"{}")])
    wire = one.wire()
    wire.ask(ASKED)
    wait_until(lambda: len(one.replies) == 1, 5, "the server has closed it")
    assert wire.ask(ASKED).status == 200
    assert one.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\n" + b"x-many: 1\r\n" * 8000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 100_000,
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200",
    ],
)
def test_whatever_else_comes_is_an_error(server, reply):
    """Nothing is guessed: the caller asks by a way that knows more."""
    with pytest.raises(WireError):
        server([reply]).wire().ask(ASKED)


def test_nobody_there_is_an_error():
    """A port without a server, and a name that cannot be looked up."""
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(WireError):
        Wire(WireEndpoint(HOST, port, None, 1.0, 1.0)).ask(ASKED)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.data())
def test_an_open_body_is_read_as_it_comes(body, data):
    """Wherever the network cuts it, whatever is asked for: the bytes, and the connection comes back."""
    reply = sized(body, b'ETag: "e"\r\n')
    cuts = sorted(data.draw(st.lists(st.integers(1, len(reply) - 1), max_size=6)))
    pieces = [reply[start:end] for start, end in zip([0, *cuts], [*cuts, len(reply)], strict=True)]
    most = data.draw(st.integers(1, 3000))
    one = Server(pieces, [sized(b"next")])
    wire = one.wire()
    opened = wire.open(ASKED)
    assert (opened.status, opened.size, opened.told[b"etag"]) == (200, len(body), b'"e"')
    assert b"".join(iter(lambda: opened.read(most), b"")) == body
    opened.close()
    assert wire.ask(ASKED).body == b"next"
    assert one.connections == 1
    one.close()


def test_an_open_body_that_is_left_costs_its_connection(server):
    """What still comes of it would be taken for the next reply."""
    one = server([sized(b"0123456789")], [], [sized(b"next")])
    wire = one.wire()
    opened = wire.open(ASKED)
    assert opened.read(4) == b"0123"
    opened.close()
    assert wire.ask(ASKED).body == b"next"
    assert one.connections == 2


def test_an_open_body_may_end_early(server):
    """The reader sees an end before the told size, and asks for the rest."""
    one = server([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"], [])
    opened = one.wire().open(ASKED)
    assert (opened.size, opened.read(), opened.read(5)) == (10, b"0123", b"")
    opened.close()


@pytest.mark.parametrize("reply", [chunked(b"01"), b"HTTP/1.1 200 OK\r\n\r\n", sized(b"0") + b"more"])
def test_an_open_body_has_a_told_size(server, reply):
    """In chunks, without a length, with more than it: another way is asked."""
    with pytest.raises(WireError):
        server([reply]).wire().open(ASKED)


def test_headers_have_a_time(server, monkeypatch):
    """A byte at a time, each within the timeout, would hold a caller for a day."""
    monkeypatch.setattr(Server, "wire", lambda self: Wire(WireEndpoint(HOST, self.port, None, 2.0, 0.2)))

    class Dripping(list):
        def __iter__(self):
            for byte in super().__iter__():
                yield byte
                threading.Event().wait(0.1)

    with pytest.raises(WireError, match=r"timed out|bytes a second"):
        server(Dripping([b"HTTP/1.1 200 OK\r\n", b"a", b":", b" ", b"b", b"c"])).wire().open(ASKED)
