"""TLS connections: handshake, certificates, and when a close is a receipt."""

import gc
import select
import shutil
import socket
import ssl
import threading
import warnings
from dataclasses import replace
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives import serialization as forms

from sinks.connection import Endpoint, ReceiptStrength, open_socket
from sinks.errors import CertificateRejected, ConnectFailed, ConnectionLost, Interrupted, NoReceipt
from sinks.tls import ClientCertificate, connect_tls
from tests.fakes.certs import make_certs
from tests.fakes.tls_sink import (
    TlsSink,
    answer,
    close_after,
    close_at_accept,
    close_in_handshake,
    hang_up,
    keep_open,
    never_read,
    notify,
    notify_early,
    notify_unread,
    reset,
    reset_after,
    silent,
)

LINES = b"".join(b"line %06d\n" % number for number in range(100_000))


def credentials_of(certs, **options):
    return ClientCertificate(certs.ca, certs.client_cert, certs.client_key, **options)


def open_to(sink, certs, *, address="127.0.0.1", credentials=None):
    where = Endpoint(address, sink.port, 60.0, 60.0)
    return connect_tls(where, credentials or credentials_of(certs), lambda: None)


def receipt(connection, timeout=60.0):
    try:
        connection.begin_close()
        return connection.await_close(timeout)
    finally:
        connection.abandon()


def until_closed(connection):
    """Wait until the receiver's close_notify has come in (Nagle may hold it back for a while)."""
    for _ in range(1200):
        try:
            connection.check_open()
        except ConnectionLost:
            return
        connection.wait(1, 0.05)


def flood(connection):
    for _ in range(100):
        connection.send(LINES)


def lines_of(sink):
    return b"".join(line + b"\n" for line in sink.lines)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_h20_receipt_means_every_line_was_read(certs, version):
    """TLS 1.3 tail loss: session tickets are read, so the last lines arrive; the receipt proves it."""
    with TlsSink(certs) as sink:
        sink._context.minimum_version = sink._context.maximum_version = version
        connection = open_to(sink, certs)
        connection.send(LINES)
        assert receipt(connection) is ReceiptStrength.RECEIPT
        assert lines_of(sink) == LINES


def test_receipt_waits_for_a_slow_reader(certs):
    """No receipt before the receiver has read on: what is in its kernel only does not count."""
    with TlsSink(certs) as sink:
        sink.stall()
        connection = open_to(sink, certs)
        connection.send(LINES[:48_000])
        connection.begin_close()
        threading.Timer(0.3, sink.resume).start()
        assert connection.await_close(60) is ReceiptStrength.RECEIPT
        assert lines_of(sink) == LINES[:48_000]


def test_receipt_from_a_receiver_that_keeps_its_socket(certs):
    """A close_notify with everything acknowledged is a receipt even when no end of file follows."""
    with TlsSink(certs, behaves=keep_open) as sink:
        connection = open_to(sink, certs)
        connection.send(b"line\n")
        assert receipt(connection) is ReceiptStrength.RECEIPT


def test_h20_close_before_ours_is_no_receipt(certs):
    """A receiver that closed before we did has answered nothing, however politely it closed."""
    with TlsSink(certs, plan=[close_after(1)]) as sink:
        connection = open_to(sink, certs)
        connection.send(b"first\n")
        assert sink.notified.wait(120)
        with pytest.raises(Interrupted):
            receipt(connection)


@pytest.mark.parametrize("size", [1, 1000, 20_000])
def test_h20_close_with_data_in_hand_is_no_receipt(certs, size):
    """A receiver that closes in the middle, just when we do, never passes for one that read all."""
    plan = [close_after(size)] * 15 + [reset_after(size)] * 15
    with TlsSink(certs, plan=plan) as sink:
        for _ in range(len(plan)):
            with pytest.raises(Interrupted):
                send_and_close(open_to(sink, certs))


def send_and_close(connection):
    try:
        connection.send(LINES[:24_000])
        connection.send(LINES[:24_000])
        connection.begin_close()
        connection.await_close(60)
    finally:
        connection.abandon()


def test_h20_early_close_notify_is_no_receipt(certs):
    """A close_notify that was there before ours is no receipt, even when the receiver goes on reading."""
    with TlsSink(certs, plan=[notify_early(6)]) as sink:
        connection = open_to(sink, certs)
        connection.send(b"first\n")
        until_closed(connection)
        connection.send(LINES[:4800])
        with pytest.raises(ConnectionLost, match="closed"):
            connection.begin_close()
        connection.abandon()


def test_h20_reset_after_close_notify_is_no_receipt(certs):
    """A close_notify followed by a reset: the receiver's process left data unread."""
    gate = threading.Event()
    with TlsSink(certs, plan=[notify_unread(gate)]) as sink:
        connection = open_to(sink, certs)
        connection.send(LINES[:200_000])
        connection.begin_close()
        gate.set()
        with pytest.raises(NoReceipt):
            connection.await_close(60)


def test_h20_reset_is_no_receipt(certs):
    """A reset in mid-line fails the send or the receipt."""
    with TlsSink(certs, plan=[reset_after(1003)]) as sink:
        connection = open_to(sink, certs)
        with pytest.raises(Interrupted):  # noqa: PT012 - the reset may show in any of the three
            for _ in range(100):
                connection.send(LINES)
            receipt(connection)
        connection.abandon()


def test_bare_end_of_file_is_told_from_close_notify(certs):
    """A receiver that closes in order, but without close_notify, gives its own, weaker strength."""
    with TlsSink(certs, behaves=hang_up) as sink:
        connection = open_to(sink, certs)
        connection.send(LINES[:4800])
        assert receipt(connection) is ReceiptStrength.CLOSED


def test_silence_is_the_kernels_word_only(certs):
    """A receiver that never answers close_notify gives the kernel's strength."""
    with TlsSink(certs, behaves=silent) as sink:
        sink.behaves = never_read
        connection = open_to(sink, certs)
        connection.send(b"line\n")
        assert receipt(connection, 0.2) is ReceiptStrength.KERNEL


def test_h20_silence_with_bytes_in_flight_is_no_receipt(certs):
    """A receiver that accepts and never reads gives nothing once its kernel is full."""
    with TlsSink(certs, behaves=never_read) as sink:
        connection = connect_tls(
            Endpoint("127.0.0.1", sink.port, 60.0, 0.2), credentials_of(certs), lambda: None
        )
        with pytest.raises(ConnectionLost, match="stopped reading"):
            flood(connection)
        connection.abandon()


@pytest.mark.parametrize("manner", [close_at_accept, close_in_handshake])
def test_h20_close_in_the_handshake(certs, manner):
    """A receiver that hangs up right after accepting, or in the handshake, is a failed connection."""
    with TlsSink(certs, plan=[manner]) as sink, pytest.raises(ConnectFailed, match="handshake"):
        open_to(sink, certs)


def test_h20_idle_close_is_noticed_before_writing(certs):
    """A connection that the balancer closed is found closed before anything is written to it."""
    with TlsSink(certs, plan=[notify]) as sink:
        connection = open_to(sink, certs)
        until_closed(connection)
        with pytest.raises(ConnectionLost, match="closed"):
            connection.check_open()
        connection.abandon()


def test_h20_expired_server_certificate(tmp_path):
    """An expired certificate of the receiver is refused, and the hint says so."""
    expired = make_certs(tmp_path, server_expired=True)
    with TlsSink(expired) as sink, pytest.raises(CertificateRejected, match="their certificate has expired"):
        open_to(sink, expired)


def test_h20_unknown_authority(certs, tmp_path):
    """A receiver of another authority is refused, and the hint points to the chain."""
    with TlsSink(make_certs(tmp_path)) as sink, pytest.raises(CertificateRejected, match="chain"):
        open_to(sink, certs)


def test_h20_wrong_server_name(tmp_path):
    """A certificate for another name is refused; an explicit option lets it pass."""
    other = make_certs(tmp_path, server_names=("collector.example",))
    with TlsSink(other) as sink:
        with pytest.raises(CertificateRejected, match="`address` is not a name in their certificate"):
            open_to(sink, other)
        connection = open_to(sink, other, credentials=credentials_of(other, verify_server_name=False))
        assert receipt(connection) is ReceiptStrength.RECEIPT


@pytest.mark.parametrize("expired", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_h20_our_certificate_is_rejected(certs, tmp_path, version, expired):
    """A receiver that rejects our certificate is told from a broken connection, in TLS 1.2 and 1.3."""
    ours = make_certs(tmp_path, client_expired=True) if expired else certs
    theirs = ours if expired else make_certs(tmp_path)
    mixed = ClientCertificate(theirs.ca, ours.client_cert, ours.client_key)
    with TlsSink(theirs) as sink:
        sink._context.maximum_version = version
        with pytest.raises(CertificateRejected, match="certificate"):  # noqa: PT012 - TLS 1.3 tells later
            connection = open_to(sink, theirs, credentials=mixed)
            assert connection.wait(1, 60.0)
            receipt(connection)


def test_key_of_another_certificate(certs, tmp_path):
    """A key that does not belong to the certificate is found before connecting."""
    other = make_certs(tmp_path)
    with pytest.raises(CertificateRejected, match="do not belong together"):
        ClientCertificate(certs.ca, certs.client_cert, other.client_key).context()


@pytest.mark.parametrize("lost", ["ca", "client_cert", "client_key"])
def test_missing_file_is_named(certs, tmp_path, lost):
    """A missing file is an error with its path."""
    gone = replace(certs, **{lost: tmp_path / "gone.pem"})
    with pytest.raises(CertificateRejected, match=r"gone\.pem"):
        credentials_of(gone).context()


@pytest.mark.parametrize("lost", ["ca", "client_cert", "client_key"])
def test_file_that_goes_while_they_are_read_is_named(tmp_path, monkeypatch, lost):
    """Renewal takes a file away between two looks: an error that is tried again, not the end of all."""
    files = make_certs(tmp_path)
    path, create = getattr(files, lost), ssl.create_default_context

    def renewing(cafile):
        path.unlink()
        return create(cafile=cafile)

    monkeypatch.setattr("sinks.tls.ssl.create_default_context", renewing)
    with pytest.raises(CertificateRejected, match="cannot read it"):
        credentials_of(files).context()


@pytest.mark.parametrize("broken", ["ca", "client_cert"])
def test_unusable_file_is_named(certs, tmp_path, broken):
    """A file that is no PEM is an error, not a traceback of OpenSSL."""
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(CertificateRejected, match=r"junk\.pem"):
        credentials_of(replace(certs, **{broken: junk})).context()


def test_encrypted_key_does_not_ask(certs, tmp_path):
    """A key with a passphrase is an error with a hint; nobody is asked to type anything."""
    key = forms.load_pem_private_key(certs.client_key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(b"planted")
        )
    )
    with pytest.raises(CertificateRejected, match="the private key is encrypted"):
        credentials_of(replace(certs, client_key=locked)).context()


def test_changed_files_are_read_again(tmp_path):
    """Renewed certificates are used by the next connection, unchanged ones are not read twice."""
    files = make_certs(tmp_path / "mine")
    credentials = credentials_of(files)
    before = credentials.context()
    assert credentials.context() is before
    renewed = make_certs(tmp_path / "new")
    for mine, new in zip(
        (files.ca, files.client_cert, files.client_key),
        (renewed.ca, renewed.client_cert, renewed.client_key),
        strict=True,
    ):
        shutil.copy(new, mine)
    assert credentials.context() is not before
    with TlsSink(renewed) as sink:
        assert receipt(open_to(sink, renewed, credentials=credentials)) is ReceiptStrength.RECEIPT


def test_key_readable_by_others_is_told(certs, tmp_path, caplog):
    """A private key that group or others can read is told, with the command that mends it."""
    loose = tmp_path / "loose.key"
    shutil.copy(certs.client_key, loose)
    loose.chmod(0o640)
    with caplog.at_level("WARNING", "collector"):
        credentials_of(replace(certs, client_key=loose)).context()
    assert f"chmod 600 {loose}" in caplog.text


def test_old_protocols_are_refused(certs):
    """TLS older than 1.2 is never spoken."""
    assert credentials_of(certs).context().minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("manner", [answer, hang_up])
def test_end_that_crossed_ours_is_no_receipt(certs, manner):
    """An end that the receiver sent before its kernel had all of ours only crossed ours on the way."""
    with TlsSink(certs, behaves=manner) as sink:
        connection = open_to(sink, certs)
        connection.send(b"line\n")
        connection.unsent = lambda: 7
        with pytest.raises(NoReceipt, match="before it had everything"):
            receipt(connection)


def test_end_of_file_that_comes_with_our_end_is_a_close(certs):
    """A receiver that hangs up in the very moment in which we say our end has read everything, too."""
    with TlsSink(certs, behaves=hang_up) as sink:
        connection = open_to(sink, certs)
        connection.send(b"line\n")
        begin = connection._sock.unwrap

        def late():
            try:
                return begin()
            except ssl.SSLWantReadError:
                assert select.select([connection._sock], [], [], 60)[0]
                return begin()

        connection._sock.unwrap = late
        assert receipt(connection) is ReceiptStrength.CLOSED
        assert sink.lines == [b"line"]


def test_connection_reset_before_its_handshake_leaves_nothing_open(certs):
    """A connection that was reset between its opening and its handshake is told, and closed."""
    with warnings.catch_warnings(record=True) as caught, socket.create_server(("127.0.0.1", 0)) as listener:
        warnings.simplefilter("always")
        where = Endpoint(*listener.getsockname(), 60.0, 60.0)
        raw = open_socket(where)
        taken, _ = listener.accept()
        reset(taken)
        taken.close()
        with (
            patch("sinks.tls.open_socket", lambda _: raw),
            pytest.raises(ConnectFailed, match="closed in the handshake"),
        ):
            connect_tls(where, credentials_of(certs), lambda: None)
        gc.collect()
    assert raw.fileno() == -1
    assert [str(one.message) for one in caught] == []


def test_no_end_of_file_passes_for_close_notify(certs, monkeypatch):
    """A Python that lets OpenSSL take a bare end of file for a close_notify is overruled."""
    make = ssl.create_default_context

    def lax(**options):
        context = make(**options)
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    monkeypatch.setattr(ssl, "create_default_context", lax)
    assert not credentials_of(certs).context().options & ssl.OP_IGNORE_UNEXPECTED_EOF
