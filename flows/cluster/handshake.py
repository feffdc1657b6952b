"""Who belongs to a cluster: whoever knows its secret. And frames that only such a peer can have made.

    dialler                      acceptor
    MAGIC nonce          ──▶
                         ◀──     nonce proof
    proof                ──▶
    frames               ◀─▶     frames        each with a MAC under the session's key, its way and its number

A proof is an HMAC of both nonces under the secret. Nothing is encrypted: what goes over it are epochs, and
snapshots, which hold no secrets; the network sees them, but cannot change them or add a byte.
"""

import hashlib
import hmac
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from flows.config.errors import SettingsError

SECRET, SECRET_FILE = "COLLECTOR_CLUSTER_SECRET", "COLLECTOR_CLUSTER_SECRET_FILE"
LEAST_BYTES = 16
FRAME_BYTES = 1 << 16

_MAGIC = b"devo-aws-collector cluster 1\n"
_NONCE_BYTES, _MAC_BYTES, _LENGTH_BYTES = 32, 32, 4
_DIALLER, _ACCEPTOR = b"dialler", b"acceptor"


class StrangerError(ConnectionError):
    """Who is at the other end does not know the secret, or does not speak as a peer does."""


def secret_of(env: Mapping[str, str]) -> bytes:
    """Return the cluster's secret, from the environment or a file; b"" when there is none.

    Raises SettingsError for one that is short, cannot be read, or that others than its owner and group read.
    """
    path = env.get(SECRET_FILE)
    if not path:
        return _long_enough(env.get(SECRET, "").strip().encode(), SECRET)
    try:
        mode = Path(path).stat().st_mode
        found = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"the cluster's secret cannot be read ({error.strerror})", path, SECRET_FILE
        ) from error
    if mode & stat.S_IROTH:
        raise SettingsError("everybody may read the cluster's secret", path, "chmod 600 or 440 it")
    return _long_enough(found or b"-", path)


def _long_enough(secret: bytes, where: str) -> bytes:
    if secret and len(secret) < LEAST_BYTES:
        hint = f"make one of {LEAST_BYTES} bytes or more: openssl rand -hex 32"
        raise SettingsError("the cluster's secret is too short", where, hint)
    return secret


class Frames(Struct):
    """A connection whose both ends have proved themselves. Reading and writing may be in two threads.

    A frame: length of kind and payload, both, MAC.
    """

    socket: socket.socket
    reading: bytes
    writing: bytes
    read: int = 0
    written: int = 0

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send one frame; its caller sees that no two threads do. Raises OSError. kind: one byte."""
        body = kind + payload
        mac = _mac(self.writing, self.written.to_bytes(8), body)
        self.written += 1
        self.socket.sendall(len(body).to_bytes(_LENGTH_BYTES) + body + mac)

    def receive(self) -> tuple[bytes, bytes]:
        """Return the next frame's kind and payload. Raises OSError; StrangerError for one that is forged."""
        length = int.from_bytes(_exactly(self.socket, _LENGTH_BYTES))
        if not 0 < length <= FRAME_BYTES + 1:
            raise StrangerError("a frame of a wrong length")
        body = _exactly(self.socket, length)
        mac = _exactly(self.socket, _MAC_BYTES)
        if not hmac.compare_digest(mac, _mac(self.reading, self.read.to_bytes(8), body)):
            raise StrangerError("a forged frame")
        self.read += 1
        return body[:1], body[1:]


def dial(sock: socket.socket, secret: bytes) -> Frames:
    """Prove ourselves to who listens, and have it prove itself. Raises OSError."""
    nonce = os.urandom(_NONCE_BYTES)
    sock.sendall(_MAGIC + nonce)
    told = _exactly(sock, _NONCE_BYTES + _MAC_BYTES)
    both = nonce + told[:_NONCE_BYTES]
    if not hmac.compare_digest(told[_NONCE_BYTES:], _mac(secret, _ACCEPTOR, both)):
        raise StrangerError("it does not know the cluster's secret")
    sock.sendall(_mac(secret, _DIALLER, both))
    return _frames(sock, secret, both, reads=_ACCEPTOR, writes=_DIALLER)


def accept(sock: socket.socket, secret: bytes) -> Frames:
    """Have who dials prove itself, and prove ourselves to it. Raises OSError."""
    asked = _exactly(sock, len(_MAGIC) + _NONCE_BYTES)
    if not asked.startswith(_MAGIC):
        raise StrangerError("it does not speak as a peer does")
    nonce = os.urandom(_NONCE_BYTES)
    both = asked[len(_MAGIC) :] + nonce
    sock.sendall(nonce + _mac(secret, _ACCEPTOR, both))
    if not hmac.compare_digest(_exactly(sock, _MAC_BYTES), _mac(secret, _DIALLER, both)):
        raise StrangerError("it does not know the cluster's secret")
    return _frames(sock, secret, both, reads=_DIALLER, writes=_ACCEPTOR)


def _frames(sock: socket.socket, secret: bytes, both: bytes, *, reads: bytes, writes: bytes) -> Frames:
    session = _mac(secret, b"session", both)
    return Frames(sock, reading=_mac(session, reads, b""), writing=_mac(session, writes, b""))


def _mac(key: bytes, role: bytes, told: bytes) -> bytes:
    return hmac.digest(key, role + b"\0" + told, hashlib.sha256)


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("the connection has ended")
        parts += part
    return bytes(parts)
