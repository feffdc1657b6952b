"""What can go wrong with deliveries. Foreign errors (ssl, socket, os) are translated here, at the border.

DeliveryError                    an output cannot deliver; the process ends, nothing was acknowledged
├── Interrupted                  retried with back-off until the outage limit
│   ├── ConnectFailed            refused, unreachable, unknown name, timeout
│   ├── CertificateRejected      theirs by us or ours by them, or files that do not fit; said once
│   ├── ConnectionLost           reset, closed or stalled while in use
│   ├── NoReceipt                closed, but without a receipt for what was sent
│   ├── OutputThrottled          HTTP 429: we are too fast, perhaps with a time to wait
│   ├── ServerFailed             HTTP 5xx: theirs, and for a while
│   └── Refused                  HTTP 3xx and 4xx: only a person can cure it; said once, held back
├── OutageTooLong                interrupted for longer than the limit
├── OutputBroken                 a file or quarantine folder that cannot be written
└── ReaderGone                   whoever read our standard output has left
"""

import errno
import socket
import ssl

from transforms.errors import CollectorError


class DeliveryError(CollectorError):
    """An output cannot deliver."""

    family = "delivery"


class Interrupted(DeliveryError):
    """A failure that another attempt may cure. wait: the least pause before it, in seconds."""

    wait: float = 0.0


class ConnectFailed(Interrupted):
    """No connection came about."""


class CertificateRejected(Interrupted):
    """The handshake failed over a certificate or key, theirs or ours."""


class ConnectionLost(Interrupted):
    """A connection broke while it was in use."""


class NoReceipt(Interrupted):
    """The connection ended without proof that everything on it was read."""


class OutputThrottled(Interrupted):
    """An HTTP receiver says that we are too fast."""


class ServerFailed(Interrupted):
    """An HTTP receiver has failed, or is overloaded."""


class Refused(Interrupted):
    """An HTTP receiver does not take such requests: nothing is dropped, but only a person can cure it."""

    wait = 60.0


class OutageTooLong(DeliveryError):
    """Nothing could be delivered for longer than the limit."""


class OutputBroken(DeliveryError):
    """A local file or folder, or the quarantine prefix, cannot be written."""


class ReaderGone(DeliveryError):
    """The reader of standard output has closed it, e.g. `| head`."""


_VERIFY = (
    ("expired", "their certificate has expired: check this machine's clock, then tell the receiver's owner"),
    ("not yet valid", "their certificate is not valid yet: check this machine's clock"),
    ("self-signed", "their authority is not in `chain`: download the chain again"),
    ("self signed", "their authority is not in `chain`: download the chain again"),
    ("local issuer", "their authority is not in `chain`: download the chain again"),
    ("mismatch", "`address` is not a name in their certificate: use the name Devo gave"),
    ("not valid for", "`address` is not a name in their certificate: use the name Devo gave"),
)
_ALERTS = (
    ("certificate_expired", "our certificate has expired: download a new one"),
    ("certificate_required", "the receiver wants a client certificate: set `cert` and `key`"),
    ("certificate_revoked", "our certificate was revoked: download a new one"),
    ("certificate_unknown", "the receiver does not accept our certificate: is it of this Devo domain?"),
    ("bad_certificate", "the receiver does not accept our certificate: is it of this Devo domain?"),
    ("unknown_ca", "the receiver does not know the authority of our certificate: is it of this region?"),
    ("access_denied", "the receiver denies access to our certificate: is it of this Devo domain?"),
    ("key_values_mismatch", "`key` does not belong to `cert`: they must be downloaded together"),
    ("handshake_failure", "no common TLS version or cipher, or our certificate was refused"),
    ("wrong_version_number", "no TLS is spoken there: give the port of TLS"),
    ("unsupported_protocol", "the receiver speaks only TLS older than 1.2"),
    ("protocol_version", "the receiver does not speak TLS 1.2 or 1.3"),
)


_CONNECT: tuple[tuple[type[Exception], str, str], ...] = (
    (socket.gaierror, "name cannot be resolved", "check `address` and DNS"),
    (ConnectionRefusedError, "connection refused", "nothing listens there: check `address` and `port`"),
    (TimeoutError, "connecting timed out", "packets are lost or blocked: check `port` and the firewall"),
    (ConnectionError, "connection closed in the handshake", "check `port`, and who stands in between"),
)


def connect_error(error: Exception, where: str) -> Interrupted:
    """Translate what `connect` and the handshake raise."""
    if isinstance(error, Interrupted):
        return error
    if isinstance(error, ssl.SSLError):
        return _tls_error(error, where)
    for kind, what, hint in _CONNECT:
        if isinstance(error, kind):
            return ConnectFailed(what, where, hint)
    return ConnectFailed(
        f"cannot connect ({_name(error)})", where, "check `address`, `port` and the firewall"
    )


def lost_error(error: Exception, where: str) -> Interrupted:
    """Translate what an established connection raises."""
    if isinstance(error, Interrupted):
        return error
    if isinstance(error, ssl.SSLError) and (hint := _hint(_ALERTS, error)):
        # With TLS 1.3 a refused client certificate shows only here: the handshake was over for us.
        return CertificateRejected("the receiver refused us", where, hint)
    if isinstance(error, TimeoutError):
        return ConnectionLost(
            "the receiver has stopped reading", where, "look at its load, or raise the timeout"
        )
    hint = "it is opened again by itself"
    if isinstance(error, ConnectionResetError):
        hint += "; if it is always so, see whether TLS is spoken there and not here, or the other way round"
    return ConnectionLost(f"connection lost ({_name(error)})", where, hint)


def tls_spoken(where: str) -> ConnectFailed:
    """Return what a plain connection is told by a receiver that answers with an alert of TLS."""
    hint = "make it `type: devo_platform` with chain, cert and key, or give the receiver's plain port"
    return ConnectFailed("TLS is spoken there, and this output is plain TCP", where, hint)


def handshake_silent(where: str) -> ConnectFailed:
    """Return what a receiver that takes a connection and answers no TLS is."""
    hint = "is `port` one of TLS? A receiver of plain TCP waits for lines there, and says nothing"
    return ConnectFailed("connected, but no TLS handshake was answered", where, hint)


def close_error(error: OSError, where: str) -> Interrupted:
    """Translate what breaks a connection between our end and theirs."""
    lost = lost_error(error, where)
    if isinstance(lost, CertificateRejected):
        return lost
    hint = "everything since the last receipt is sent again"
    return NoReceipt(f"the receiver left data unread ({_name(error)})", where, hint)


def file_error(error: OSError, where: str) -> OutputBroken:
    """Translate what writing a file raises."""
    hints = {
        errno.ENOSPC: "make room on the disk",
        errno.EDQUOT: "make room in the quota",
        errno.EACCES: "let this user write there",
        errno.EROFS: "choose a writable folder",
        errno.EISDIR: "name a file, not a folder",
    }
    hint = hints.get(error.errno or 0, "check the path and its file system")
    return OutputBroken(f"cannot write ({error.strerror or error})", where, hint)


def _tls_error(error: ssl.SSLError, where: str) -> Interrupted:
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message or str(error)
        hint = _match(_VERIFY, message) or "compare `address` and `chain` with what Devo gave"
        return CertificateRejected(f"the receiver's certificate is not accepted ({message})", where, hint)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        hint = "the receiver hung up: is `port` one of TLS, and our certificate of this Devo domain?"
        return ConnectFailed("connection closed in the handshake", where, hint)
    if hint := _hint(_ALERTS, error):
        return CertificateRejected(f"no TLS session ({_name(error)})", where, hint)
    return ConnectFailed(f"no TLS session ({_name(error)})", where, "check `port`, `chain`, `cert` and `key`")


def _hint(table: tuple[tuple[str, str], ...], error: ssl.SSLError) -> str:
    return _match(table, (error.reason or "").lower())


def _match(table: tuple[tuple[str, str], ...], message: str) -> str:
    return next((hint for part, hint in table if part in message.lower()), "")


def _name(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    told = reason or (error.strerror if isinstance(error, OSError) else None)
    return (told or type(error).__name__).lower().replace("_", " ")
