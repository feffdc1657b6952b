"""Keep-alive connections to one AWS endpoint, for calls that are made thousands of times an hour.

Most of what botocore's transport and `http.client` cost is headers that nobody reads. Only the plainest
exchange is known here: one request, one reply whose length is told or that comes in chunks. Whatever else
happens is a `WireError`: the connection is closed, and the caller asks by boto3.
"""

import re
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque

from msgspec import Struct

from transforms.locks import Guard, guarded

_HEAD_BYTES, _BODY_BYTES = 64 << 10, 64 << 20
"""Of a reply. AWS's largest of the calls that come this way are messages of 1 MiB, ten at a time."""

_RECEIVE_BYTES = 256 << 10
_MOST_IDLE, _IDLE_SECONDS = 64, 15.0
"""A connection idle for longer is not used again: AWS closes after 20 s or more, without a word."""

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})[ \r]")
_HEADER = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)", re.IGNORECASE)

_LOCKS = (Guard("_lock", ("_idle",)),)


class WireError(Exception):
    """No plain reply came: nothing is known of the request."""


class WireReply(Struct, frozen=True):
    """A reply, its body whole."""

    status: int
    body: bytes


@guarded(_LOCKS)
class Wire:
    """Connections to one endpoint, one request under way on each. Thread-safe.

    tls: None = plain. connect_seconds, read_seconds: how long to wait for a connection, for the next bytes.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, connect_seconds: float, read_seconds: float
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        idle: deque[tuple[socket.socket, float]] = deque()
        self._idle = idle
        self._lock = threading.RLock()
        weakref.finalize(self, _close, idle)

    def ask(self, request: bytes) -> WireReply:
        """Send a request and return its reply. Raises WireError."""
        line: socket.socket | None = None
        try:
            line = self._taken() or self._opened()
            line.sendall(request)
            reply, stays = _read(line)
        except (OSError, ValueError, WireError) as error:
            if line is not None:
                line.close()
            raise WireError(str(error) or type(error).__name__) from error
        if stays:
            self._give(line)
        else:
            line.close()
        return reply

    def _opened(self) -> socket.socket:
        line = socket.create_connection((self._host, self._port), self._connect_seconds)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is not None:
            line = self._tls.wrap_socket(line, server_hostname=self._host)
        line.settimeout(self._read_seconds)
        return line

    def _taken(self) -> socket.socket | None:
        """Return an idle connection on which nothing has come: what comes unasked is its end, or worse."""
        while True:
            with self._lock:
                line, since = self._idle.pop() if self._idle else (None, 0.0)
            if line is None:
                return None
            poll = select.poll()
            poll.register(line, select.POLLIN | select.POLLHUP | select.POLLERR)
            if time.monotonic() - since < _IDLE_SECONDS and not poll.poll(0):
                return line
            line.close()

    def _give(self, line: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append((line, time.monotonic()))
                return
        line.close()


def _close(idle: deque[tuple[socket.socket, float]]) -> None:
    for line, _ in idle:
        line.close()


def _read(line: socket.socket) -> tuple[WireReply, bool]:
    """Return a reply, and whether the connection may be used again."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _HEAD_BYTES:
            raise WireError("headers without an end")
        data += _more(line)
    head, rest = data[:end], data[end + 4 :]
    status = _STATUS.match(head)
    if not status:
        raise WireError("no HTTP/1.1")
    told = {name.lower(): value.strip().lower() for name, value in _HEADER.findall(head)}
    stays = told.get(b"connection", b"") != b"close"
    if told.get(b"transfer-encoding") == b"chunked":
        body = _chunks(line, rest)
    elif told.get(b"content-length", b"").isdigit() and b"transfer-encoding" not in told:
        body = _whole(line, rest, int(told[b"content-length"]))
    else:
        raise WireError("a reply of unknown length")
    return WireReply(int(status[1]), body), stays


def _whole(line: socket.socket, rest: bytes, size: int) -> bytes:
    if size > _BODY_BYTES:
        raise WireError("a reply too large")
    parts, got = [rest], len(rest)
    while got < size:
        parts.append(_more(line))
        got += len(parts[-1])
    if got > size:
        raise WireError("more than a reply")
    return b"".join(parts)


def _chunks(line: socket.socket, rest: bytes) -> bytes:
    """Read a body in chunks; trailers are none that AWS sends."""
    parts: list[bytes] = []
    total = 0
    while True:
        while (end := rest.find(b"\r\n")) < 0:
            if len(rest) > _HEAD_BYTES:
                raise WireError("a chunk without a size")
            rest += _more(line)
        size = int(rest[:end].partition(b";")[0], 16)
        total += size
        if size < 0 or total > _BODY_BYTES:
            raise WireError("a reply too large")
        needed = end + 2 + size + 2
        while len(rest) < needed:
            rest += _more(line)
        if rest[needed - 2 : needed] != b"\r\n":
            raise WireError("a chunk without its end")
        parts.append(rest[end + 2 : needed - 2])
        rest = rest[needed:]
        if not size:
            break
    if rest:
        raise WireError("more than a reply")
    return b"".join(parts)


def _more(line: socket.socket) -> bytes:
    data = line.recv(_RECEIVE_BYTES)
    if not data:
        raise WireError("the connection ended")
    return data
