"""The wire between collector and receiver breaks as told: at the byte, half-open, slowly."""

import array
import fcntl
import socket
import termios
import threading

import pytest

from tests.chaos.wire import Wire
from tests.fakes.process import HOST, wait_until


class Sink:
    """Reads all connections to the end and echoes nothing; `data` is what came, `ends` how each ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[str] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    while part := connection.recv(65536):
                        self.data += part
                    self.ends.append("end")
                except ConnectionResetError:
                    self.ends.append("reset")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def sink():
    made = Sink()
    yield made
    made.close()


@pytest.fixture
def wire(sink):
    with Wire(sink.port) as made:
        yield made


def connect(wire):
    connection = socket.create_connection((HOST, wire.port), 10)
    connection.settimeout(10)
    return connection


def unacknowledged(connection):
    count = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def test_it_forwards_and_ends_in_order(wire, sink):
    """Without an order all bytes pass and each end of file is passed on."""
    with connect(wire) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert (len(sink.data), sink.ends) == (300_000, ["end"])


def test_a_reset_comes_at_the_byte(wire, sink):
    """Exactly so many bytes pass, then both sides see a reset."""
    wire.reset_after(1234)
    with connect(wire) as client:
        client.sendall(b"x" * 5000)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    wait_until(lambda: sink.ends, 10, "the receiver's side has ended")
    assert (len(sink.data), sink.ends, wire.struck) == (1234, ["reset"], 1)


def test_deaf_connections_acknowledge_nothing(wire, sink):
    """Half-open: what is sent stays unacknowledged in our kernel, and no answer ever comes."""
    with connect(wire) as client:
        client.sendall(b"before")
        wait_until(lambda: bytes(sink.data) == b"before", 10, "the first bytes")
        assert wire.deafen() == 1
        wait_until(lambda: sink.ends == ["reset"], 10, "the receiver is gone")
        client.sendall(b"after")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert unacknowledged(client) == len(b"after")
    assert bytes(sink.data) == b"before"


def test_swallowing_connections_acknowledge_everything(wire, sink):
    """Half-open behind a balancer: our kernel is told that all has come, and nobody has read it."""
    with connect(wire) as client:
        client.sendall(b"before")
        wait_until(lambda: bytes(sink.data) == b"before", 10, "the first bytes")
        assert wire.swallow() == 1
        client.sendall(b"after")
        wait_until(lambda: unacknowledged(client) == 0, 10, "acknowledged")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert bytes(sink.data) == b"before"


def test_a_stall_holds_and_flows_again(wire, sink):
    """While stalled nothing passes, not even on a new connection; afterwards all of it does."""
    wire.stall()
    with connect(wire) as client:
        client.sendall(b"held")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert not sink.data
        wire.flow()
        client.settimeout(10)
        assert client.recv(1) == b""
    assert bytes(sink.data) == b"held"


@pytest.mark.parametrize("by_reset", [False, True])
def test_the_next_connection_is_closed_at_once(wire, sink, by_reset):
    """One is closed, in order or by reset, the one after it works."""
    wire.close_at_accept(by_reset=by_reset)
    try:
        with connect(wire) as client:
            assert client.recv(1) == b""
        assert not by_reset
    except ConnectionResetError:  # of the connect itself, when it comes that soon
        assert by_reset
    with connect(wire) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert bytes(sink.data) == b"x"
