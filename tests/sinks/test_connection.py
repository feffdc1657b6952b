"""Plain TCP connections and their receipts."""

import socket
import threading

import pytest

from sinks.connection import Connection, Endpoint, ReceiptStrength, connect
from sinks.errors import ConnectFailed, ConnectionLost, DeliveryError, Interrupted, NoReceipt
from tests.fakes.tls_sink import TlsSink, hang_up, never_read, reset_after, silent

LINES = b"".join(b"line %06d\n" % number for number in range(20_000))
TOO_MUCH = b"x" * 1023 + b"\n"


def endpoint(port, sending=60.0):
    return Endpoint("127.0.0.1", port, 60.0, sending)


def nothing():
    pass


def open_to(sink, **options) -> Connection:
    return connect(endpoint(sink.port, **options), nothing)


def test_receipt_means_every_line_was_read():
    """After a half close, the receiver's end of file proves that it has read everything."""
    with TlsSink(None, behaves=hang_up) as sink:
        connection = open_to(sink)
        connection.send(LINES, b"last\n")
        connection.begin_close()
        assert connection.await_close(60) is ReceiptStrength.RECEIPT
        assert b"\n".join([*sink.lines, b""]) == LINES + b"last\n"


def test_reset_is_no_receipt():
    """A receiver that resets the connection has proved nothing."""
    with TlsSink(None, plan=[reset_after(1000)]) as sink:
        connection = open_to(sink)
        with pytest.raises(Interrupted):  # noqa: PT012 - the reset may show in any of the three
            connection.send(LINES)
            connection.begin_close()
            connection.await_close(60)
        connection.abandon()


def test_silence_is_the_kernels_word_only():
    """A receiver that has read everything and answers nothing gives the weaker strength."""
    with TlsSink(None, behaves=silent) as sink:
        connection = open_to(sink)
        connection.send(b"line\n")
        connection.begin_close()
        assert connection.await_close(0.2) is ReceiptStrength.KERNEL


def test_h20_silence_with_bytes_in_flight_is_no_receipt():
    """A receiver that never reads leaves bytes unacknowledged: no strength at all."""
    with TlsSink(None, behaves=never_read) as sink:
        connection = open_to(sink, sending=0.2)
        with pytest.raises(ConnectionLost, match="stopped reading"):
            flood(connection)
        with pytest.raises(ConnectionLost, match="stopped reading"):
            connection.await_kernel(0.1)
        with pytest.raises(NoReceipt, match="stopped reading"):
            connection.await_close(0.1)


def test_kernel_strength_keeps_the_connection():
    """Waiting for the kernel's acknowledgement ends nothing: the next line goes over the same connection."""
    with TlsSink(None, behaves=silent) as sink:
        connection = open_to(sink)
        for number in range(3):
            connection.send(b"line %d\n" % number)
            assert connection.await_kernel(60) is ReceiptStrength.KERNEL
        connection.begin_close()
        connection.await_close(0.2)
        sink.wait_for(3)
        assert sink.accepted == 1
        assert sink.lines == [b"line 0", b"line 1", b"line 2"]


def test_h20_idle_close_is_noticed_before_writing():
    """A connection that the receiver closed while idle is found closed before anything is written to it."""
    with TlsSink(None, plan=[lambda _sink, sock: sock.close()]) as sink:
        connection = open_to(sink)
        wait_readable(connection)
        with pytest.raises(ConnectionLost, match="closed"):
            connection.check_open()
        with pytest.raises(ConnectionLost):
            connection.begin_close()
        connection.abandon()


def test_h20_refused_and_unknown_addresses_say_what_to_do():
    """Connecting fails with the place and a hint, whatever the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectFailed, match=rf"connection refused: 127.0.0.1:{port}: nothing listens"):
        connect(endpoint(port), nothing)
    with pytest.raises(ConnectFailed, match="name cannot be resolved"):
        connect(Endpoint("no-such-name.invalid", 1, 1.0, 1.0), nothing)


def test_ticks_can_end_a_stalled_send():
    """While a receiver stalls, the tick is called and may give up: a drain is noticed."""
    told = threading.Event()

    def tick():
        if told.is_set():
            raise DeliveryError("enough", "here", "nothing")

    with TlsSink(None, behaves=never_read) as sink:
        connection = connect(endpoint(sink.port), tick)
        told.set()
        with pytest.raises(DeliveryError, match="enough"):
            flood(connection)
        connection.abandon()


def flood(connection):
    for _ in range(100_000):
        connection.send(TOO_MUCH * 64)


def wait_readable(connection):
    assert connection.wait(1, 60.0)
