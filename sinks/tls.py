"""A TLS connection with our certificate that ends with a receipt: the receiver's close_notify.

RFC 5425: who gets a close_notify must answer with its own. OpenSSL can be told to take a bare end-of-file for
that answer (OP_IGNORE_UNEXPECTED_EOF, which some builds of Python set); here the two are told apart.
"""

import os
import socket
import ssl
from pathlib import Path
from ssl import SSLWantReadError, SSLWantWriteError
from typing import TypeAlias

from msgspec import Struct

from sinks import telemetry
from sinks.certificate_files import mixed_up
from sinks.connection import READ_BYTES, Connection, Endpoint, ReceiptStrength, Tick, open_socket
from sinks.errors import CertificateRejected, close_error, connect_error, handshake_silent

_Signature: TypeAlias = tuple[tuple[int, int, int], ...]

_END_OF_FILE = "UNEXPECTED_EOF_WHILE_READING"
"""Reason of a true end of file; Python raises SSLEOFError for a reset as well, but without a reason."""

_END_OF_FILE_SECONDS = 1.0
"""How long after the close_notify a reset would show; the receiver normally closes in the same moment."""


class ClientCertificate(Struct):
    """Certificate files, read again whenever one of them has changed: renewal needs no restart.

    chain None: the authorities that this system trusts. cert and key None: no certificate of ours.
    """

    chain: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify_server_name: bool = True
    _seen: _Signature = ()
    _context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context for the files as they are now. Raises CertificateRejected."""
        seen = self._signature()
        if self._context is None or seen != self._seen:
            self._context, self._seen = self._load(), seen
            telemetry.credentials_loaded(str(self.cert or self.chain or "the system's authorities"))
        return self._context

    def _signature(self) -> _Signature:
        return tuple(_stamp(path) for path in (self.chain, self.cert, self.key) if path)

    def _load(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self.chain) if self.chain else None)
        except (ssl.SSLError, OSError) as error:
            found = mixed_up(self.chain, self.cert, self.key) if self.chain else None
            raise found or _unusable(self.chain or Path("system"), error) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.verify_server_name
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        if self.cert and self.key:
            _show(context, self.chain, self.cert, self.key)
        return context


def connect_tls(endpoint: Endpoint, credentials: ClientCertificate, tick: Tick) -> "TlsConnection":
    """Open a connection: TCP, handshake, server certificate and name checked. Raises Interrupted."""
    context = credentials.context()
    raw = open_socket(endpoint)
    try:
        _require_peer(raw)
        sock = context.wrap_socket(
            raw,
            server_hostname=endpoint.address,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
    except (OSError, ValueError) as error:
        raw.close()
        raise connect_error(error, str(endpoint)) from error
    connection = TlsConnection(sock, endpoint, tick)
    try:
        connection.persist(sock.do_handshake, endpoint.connect_timeout)
    except TimeoutError as error:
        connection.abandon()
        raise handshake_silent(str(endpoint)) from error
    except OSError as error:
        connection.abandon()
        raise connect_error(error, str(endpoint)) from error
    except BaseException:
        connection.abandon()
        raise
    return connection


def _require_peer(raw: socket.socket) -> None:
    """Refuse a connection that is reset already: Python's `wrap_socket` would lose its descriptor."""
    try:
        raw.getpeername()
    except OSError as error:
        raise ConnectionResetError(error.errno, "reset right after it was opened") from error


class TlsConnection(Connection):
    """A connection whose receipt is the receiver's close_notify."""

    _sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, endpoint: Endpoint, tick: Tick) -> None:
        super().__init__(sock, endpoint, tick)
        self._notified = self._answered = False
        self._end: ssl.SSLEOFError | None = None

    def ended(self) -> None:
        """Return when the receiver's close_notify is in; SSLEOFError: it ended without one."""
        if self._answered:
            return
        try:
            if self._sock.recv(READ_BYTES):
                raise BlockingIOError
        except ssl.SSLZeroReturnError:  # the same news once our own close_notify is out
            return

    def begin_close(self) -> None:
        """Send our close_notify without waiting for theirs."""
        self.check_open()
        try:
            self._notify()
        except SSLWantWriteError:
            return  # the kernel's buffer is full: `closing` goes on with it
        except ssl.SSLEOFError as error:
            self._end = error  # the receiver was fast: `closing` judges it
        except OSError as error:
            raise close_error(error, self.where) from error

    def closing(self, timeout: float) -> ReceiptStrength:
        """Wait for close_notify, then for the end of file, and see that no reset comes instead."""
        try:
            if not self.answered(self._step, timeout / 2):
                # Devo's own senders end the TCP side only, and Devo answers that: the last thing to try.
                self.end_of_file()
                if not self.answered(self._step, timeout / 2):
                    return self.silent()
        except ssl.SSLEOFError as error:
            if error.reason != _END_OF_FILE:
                raise
            self.require_read()
            return ReceiptStrength.CLOSED
        self.require_read()
        self._read_to_end()
        return ReceiptStrength.RECEIPT

    def _step(self) -> None:
        if self._end:
            raise self._end
        if not self._notified:
            self._notify()
        self.ended()

    def _notify(self) -> None:
        """Send our close_notify. Python looks for theirs in the same call: a fast answer is in already.

        Theirs from before ours is told apart by looking right before; what comes between is reset or unread.
        """
        try:
            self._sock.unwrap()
        except SSLWantReadError:  # ours is out, theirs is not in
            self._notified = True
            return
        self._notified = self._answered = True

    def _read_to_end(self) -> None:
        """See the connection end in order; a reset would mean data unread, and raises."""
        self.end_of_file()
        try:
            self.persist(self._raw_end, _END_OF_FILE_SECONDS)
        except TimeoutError:
            return  # close_notify came and its kernel has all of ours: it just keeps the socket

    def _raw_end(self) -> None:
        if socket.socket.recv(self._sock, READ_BYTES):
            raise BlockingIOError


def _show(context: ssl.SSLContext, chain: Path | None, cert: Path, key: Path) -> None:
    """Let a context show our certificate."""
    mode = _found(key).st_mode & 0o777
    if mode & 0o077:
        telemetry.key_readable_by_others(str(key), mode)
    try:
        context.load_cert_chain(str(cert), str(key), password=_no_password)
    except (ssl.SSLError, OSError, _Encrypted) as error:
        found = mixed_up(chain, cert, key) if isinstance(error, ssl.SSLError) else None
        raise found or _unusable(cert, error) from error


class _Encrypted(Exception):
    """A private key asks for a passphrase, which nobody could type here."""


def _no_password() -> str:
    raise _Encrypted("the key is encrypted")


def _stamp(path: Path) -> tuple[int, int, int]:
    found = _found(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _found(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> CertificateRejected:
    if isinstance(error, _Encrypted):
        hint = "write the private key to its file without a passphrase, readable by this user only"
        return CertificateRejected("the private key is encrypted", str(path), hint)
    if isinstance(error, ssl.SSLError):
        return CertificateRejected(
            "not a usable PEM file", str(path), "download certificate, key and chain again"
        )
    what = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return CertificateRejected(
        f"cannot read it ({what})", str(path), "put it there, readable by this user, or correct the path"
    )
