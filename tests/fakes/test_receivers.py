"""The real receivers: they keep bytes, refuse strangers, and answer close_notify."""

import socket
import ssl
from collections import Counter

import pytest

from tests.fakes.certs import make_certs
from tests.fakes.receivers import KINDS, parse, running

TAG = "cloud.aws.cloudtrail.servicecatalog_appregistry"
MESSAGES = [
    b"plain",
    "ünïcode".encode(),
    b"a\tb  c ",
    b'{"a": "b: c"}',
    b"x" * 900_000,
    b"invalid \xff utf-8",
]


def connect(receiver, certs, *, certificate=True):
    context = ssl.create_default_context(cafile=certs.ca)
    if certificate:
        context.load_cert_chain(certs.client_cert, certs.client_key)
    raw = socket.create_connection(("127.0.0.1", receiver.port), 10)
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


def frame(message, tag=TAG):
    return b"<14>Jan  1 00:00:00 test-host %s: %s\n" % (tag.encode(), message)


def refused(receiver, certs, **how):
    try:
        with connect(receiver, certs, **how) as connection:
            connection.sendall(frame(b"stranger"))
            return connection.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_bytes_arrive_as_sent_and_are_receipted(receiver, certs):
    """Every line is in its tag's file, byte for byte, once the receiver has answered close_notify."""
    with connect(receiver, certs) as connection:
        connection.sendall(b"".join(map(frame, MESSAGES)) + frame(b"other", "my.app.t.x"))
        connection.settimeout(10)
        connection.unwrap().close()
    receiver.wait_for(len(MESSAGES) + 1, 10)
    expected = Counter([(TAG, message) for message in MESSAGES] + [("my.app.t.x", b"other")])
    assert receiver.events() == expected
    assert [parse(line) for line in receiver.lines()["my.app.t.x"]] == [("my.app.t.x", b"other")]


def test_a_client_without_certificate_is_refused(receiver, certs):
    """Mutual TLS is real: no certificate, no line."""
    assert refused(receiver, certs, certificate=False)
    with connect(receiver, certs) as connection:
        connection.sendall(frame(b"known"))
        connection.unwrap().close()
    receiver.wait_for(1, 10)
    assert receiver.events() == {(TAG, b"known"): 1}


def test_a_client_of_another_authority_is_refused(receiver, certs, tmp_path):
    """A certificate that another authority signed is no certificate."""
    stranger = make_certs(tmp_path / "stranger")
    mixed = type(certs)(
        certs.ca, certs.server_cert, certs.server_key, stranger.client_cert, stranger.client_key
    )
    assert refused(receiver, mixed)


def test_what_was_receipted_survives_the_receiver(receiver, certs):
    """After stop and start on the same port, old and new lines are there."""
    for number in range(2):
        with connect(receiver, certs) as connection:
            connection.sendall(frame(b"%d" % number) * 100)
            connection.unwrap().close()
        receiver.stop()
        receiver.start()
    assert receiver.events() == {(TAG, b"0"): 100, (TAG, b"1"): 100}


def test_rsyslog_has_written_what_it_receipts(rsyslog, certs):
    """Killed with SIGKILL right after the receipt, it has every line: chaos may count on that."""
    for number in range(1, 4):
        with connect(rsyslog, certs) as connection:
            connection.sendall(frame(b"x" * 200) * 5000)
            connection.unwrap().close()
        rsyslog.restart()
        assert rsyslog.size() == number * 5000


@pytest.mark.parametrize("kind", KINDS)
def test_plain_tcp_receives(tmp_path, kind):
    """Without certificates it is a plain TCP relay, whose end-of-file is the receipt."""
    for receiver in running(kind, tmp_path, None):
        with socket.create_connection(("127.0.0.1", receiver.port), 10) as connection:
            connection.sendall(frame(b"hello"))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        receiver.wait_for(1, 10)
        assert receiver.events() == {(TAG, b"hello"): 1}
