"""The tree of delivery errors: what, where, and what to do."""

import errno
import inspect
import socket
import ssl

import pytest

from sinks import errors
from sinks.errors import (
    CertificateRejected,
    ConnectFailed,
    ConnectionLost,
    DeliveryError,
    Interrupted,
    NoReceipt,
    OutputBroken,
    close_error,
    connect_error,
    file_error,
    lost_error,
)

WHERE = "collector-eu.devo.io:443"
CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, DeliveryError) and kind is not DeliveryError
]


def tls(reason, kind=ssl.SSLError):
    error = kind(1, f"[SSL: {reason}] something (_ssl.c:1000)")
    error.reason = reason
    return error


def unverified(message):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (socket.gaierror(-2, "Name or service not known"), ConnectFailed, "DNS"),
        (ConnectionRefusedError(), ConnectFailed, "nothing listens"),
        (TimeoutError(), ConnectFailed, "firewall"),
        (ConnectionResetError(), ConnectFailed, "between"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), ConnectFailed, "address"),
        (tls("UNEXPECTED_EOF", ssl.SSLEOFError), ConnectFailed, "hung up"),
        (tls("SOMETHING_NEW"), ConnectFailed, "chain"),
        (tls("WRONG_VERSION_NUMBER"), CertificateRejected, "port"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), CertificateRejected, "region"),
        (tls("SSLV3_ALERT_CERTIFICATE_EXPIRED"), CertificateRejected, "our certificate has expired"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), CertificateRejected, "cert"),
        (unverified("certificate has expired"), CertificateRejected, "their certificate has expired"),
        (unverified("unable to get local issuer certificate"), CertificateRejected, "chain"),
        (unverified("Hostname mismatch, certificate is not valid for 'x'"), CertificateRejected, "address"),
        (unverified("something new"), CertificateRejected, "chain"),
    ],
)
def test_h20_connecting_fails_with_a_hint(error, kind, hint):
    """Each way in which connecting fails has its class, its place and its own advice."""
    translated = connect_error(error, WHERE)
    assert type(translated) is kind
    assert translated.where == WHERE
    assert hint in translated.hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), ConnectionLost),
        (BrokenPipeError(), ConnectionLost),
        (TimeoutError(), ConnectionLost),
        (tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), ConnectionLost),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), CertificateRejected),
    ],
)
def test_h20_losing_a_connection_is_translated(error, kind):
    """A broken connection is retried; a certificate refused late, as TLS 1.3 does, is told as such."""
    assert type(lost_error(error, WHERE)) is kind
    assert type(close_error(error, WHERE)) is (kind if kind is CertificateRejected else NoReceipt)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.EIO]
)
def test_h22_file_errors_have_a_hint(number):
    """Whatever a file system refuses, the error names path and advice."""
    error = file_error(OSError(number, "refused"), "/var/quarantine")
    assert isinstance(error, OutputBroken)
    assert error.where == "/var/quarantine"
    assert error.hint


def test_our_own_errors_pass():
    """An error that is translated already stays itself."""
    ours = NoReceipt("a", "b", "c")
    assert connect_error(ours, WHERE) is ours
    assert lost_error(ours, WHERE) is ours


@pytest.mark.parametrize("kind", CLASSES)
def test_the_tree_is_drawn_as_it_is(kind):
    """Every error of the module is in the tree on top of it, under the right parent."""
    drawing = inspect.getdoc(errors)
    assert drawing is not None
    (line,) = [line for line in drawing.splitlines() if f" {kind.__name__} " in line]
    assert line.startswith(("│", "└" if kind is DeliveryError else "├", "└"))
    assert line.startswith("│") == (issubclass(kind, Interrupted) and kind is not Interrupted)
