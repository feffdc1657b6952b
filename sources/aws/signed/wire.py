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
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from sources.aws.pace import HEAD_BYTES, WHOLE_BYTES, WINDOW_SECONDS, ReplyPace
from transforms.locks import Guard, guarded

_RECEIVE_BYTES = 256 << 10
_MOST_IDLE, IDLE_SECONDS = 64, 15.0
"""A connection idle for longer is not used again: AWS closes after 20 s or more, without a word."""

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})[ \r]")
_HEADER = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|etag|content-range|x-amz-version-id|"
    rb"x-amz-server-side-encryption|x-amz-server-side-encryption-bucket-key-enabled)"
    rb":[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_OK = 200

_LOCKS = (Guard("_lock", ("_idle",)),)


_T = TypeVar("_T")


class WireError(Exception):
    """No plain reply came: nothing is known of the request."""


class WireReply(Struct, frozen=True):
    """A reply, its body whole."""

    status: int
    body: bytes


class _ReplyHead(Struct, frozen=True):
    """Status and headers of a reply; rest: what came behind them."""

    status: int
    told: dict[bytes, bytes]
    rest: bytes

    @property
    def length(self) -> int:
        """The body's bytes; -1 when they are not told."""
        size = self.told.get(b"content-length", b"")
        return int(size) if size.isdigit() and b"transfer-encoding" not in self.told else -1

    @property
    def stays(self) -> bool:
        """Whether the connection may be used again."""
        return self.told.get(b"connection", b"").lower() != b"close"


class WireEndpoint(Struct, frozen=True):
    """Where connections lead. tls: None = plain. proxy: host, port and `Proxy-Authorization` ("" = none).

    connect_seconds, read_seconds: how long to wait for a connection, for the next bytes.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    connect_seconds: float = 60.0
    read_seconds: float = 60.0
    proxy: tuple[str, int, str] | None = None


@guarded(_LOCKS)
class Wire:
    """Connections to one endpoint, one request under way on each. Thread-safe."""

    def __init__(self, endpoint: WireEndpoint) -> None:
        self._endpoint = endpoint
        idle: deque[tuple[socket.socket, float]] = deque()
        self._idle = idle
        self._lock = threading.RLock()
        weakref.finalize(self, _close, idle)

    def ask(self, request: bytes, leaves: Callable[[], object] = int) -> WireReply:
        """Send a request, `leaves` just before it does, and return its reply. Raises WireError."""

        def whole(line: socket.socket) -> WireReply:
            reply, stays = _read(line)
            self.end(line, stays=stays)
            return reply

        return self._exchanged(request, leaves, whole)

    def open(self, request: bytes, leaves: Callable[[], object] = int) -> "WireBody":
        """Send a request as `ask` does; return its reply when its headers are there. Raises WireError."""
        return self._exchanged(request, leaves, lambda line: WireBody(self, line, _head(line)))

    def _exchanged(
        self, request: bytes, leaves: Callable[[], object], take: Callable[[socket.socket], _T]
    ) -> _T:
        line: socket.socket | None = None
        try:
            line = self._taken() or self._opened()
            leaves()
            line.sendall(request)
            return take(line)
        except (OSError, ValueError, WireError) as error:
            if line is not None:
                line.close()
            raise WireError(str(error) or type(error).__name__) from error

    def end(self, line: socket.socket, *, stays: bool) -> None:
        """Take a connection back, or close it."""
        now = time.monotonic()
        self.trim()
        with self._lock:
            if stays and len(self._idle) < _MOST_IDLE:
                self._idle.append((line, now))
                return
        line.close()

    def trim(self) -> None:
        """Close what has been idle for too long."""
        oldest = time.monotonic() - IDLE_SECONDS
        with self._lock:
            while self._idle and self._idle[0][1] < oldest:
                self._idle.popleft()[0].close()

    def _opened(self) -> socket.socket:
        to = self._endpoint
        at = to.proxy[:2] if to.proxy else (to.host, to.port)
        line = socket.create_connection(at, to.connect_seconds)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if to.proxy:
                _tunnel(line, f"{to.host}:{to.port}", to.proxy[2])
            if to.tls is not None:
                line.getpeername()  # of one that is reset already, `wrap_socket` would lose the descriptor
                line = to.tls.wrap_socket(line, server_hostname=to.host)
            line.settimeout(to.read_seconds)
        except BaseException:
            line.close()
            raise
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
            if time.monotonic() - since < IDLE_SECONDS and not poll.poll(0):
                return line
            line.close()


class WireBody:
    """An open reply. status: HTTP's. told: headers that anybody reads, names in lower case. size: in bytes.

    Raises WireError for a reply whose size is not told, or another one.
    """

    def __init__(self, wire: Wire, line: socket.socket, head: _ReplyHead) -> None:
        self._wire, self._rest = wire, head.rest
        self._line: socket.socket | None = line
        self.status, self.told, self.size = head.status, head.told, head.length
        if self.size < len(self._rest):
            raise WireError("a reply of another length than it tells")
        self._left, self._stays = self.size, head.stays

    def read(self, n: int = -1) -> bytes:
        """Return what one receive brings, at most n bytes, b"" at the end; all of them where n is none.

        The end may come early. Raises OSError.
        """
        if n < 0:
            return b"".join(iter(lambda: self.read(_RECEIVE_BYTES), b""))
        if self._rest:
            data, self._rest = self._rest[:n], self._rest[n:]
        elif self._left and self._line:
            data = self._line.recv(min(n, self._left, _RECEIVE_BYTES))
        else:
            data = b""
        self._left -= len(data)
        if not self._left:
            self.close()
        return data

    def close(self) -> None:
        """Give the connection back, or end it when not all was read. More than once does no harm."""
        line, self._line = self._line, None
        if line is not None:
            self._wire.end(line, stays=self._stays and not self._left)


def _close(idle: deque[tuple[socket.socket, float]]) -> None:
    for line, _ in idle:
        line.close()


def _tunnel(line: socket.socket, to: str, authorization: str) -> None:
    """Have a proxy lead on to the endpoint."""
    by = f"proxy-authorization: {authorization}\r\n" if authorization else ""
    line.sendall(f"CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{by}\r\n".encode("latin-1"))
    head = _head(line, b"01")  # some proxies speak 1.0
    if head.status != _OK or head.rest:
        raise WireError(f"the proxy answered {head.status}")


def _head(line: socket.socket, minor: bytes = b"1") -> _ReplyHead:
    pace = ReplyPace(line, HEAD_BYTES + _RECEIVE_BYTES, WINDOW_SECONDS)
    data = _more(pace)
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > HEAD_BYTES:
            raise WireError("headers without an end")
        data += _more(pace)
    status = _STATUS.match(data)
    if not status or status[1] not in minor:
        raise WireError("no HTTP/1.1")
    told = {name.lower(): value.strip() for name, value in _HEADER.findall(data[:end])}
    return _ReplyHead(int(status[2]), told, data[end + 4 :])


def _read(line: socket.socket) -> tuple[WireReply, bool]:
    """Return a reply, and whether the connection may be used again."""
    head = _head(line)
    pace = ReplyPace(line, WHOLE_BYTES, WINDOW_SECONDS)
    if head.told.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = _chunks(pace, head.rest)
    elif head.length >= 0:
        body = _whole(pace, head.rest, head.length)
    else:
        raise WireError("a reply of unknown length")
    return WireReply(head.status, body), head.stays


def _whole(pace: ReplyPace, rest: bytes, size: int) -> bytes:
    """Return `rest` and what comes behind it: `size` bytes together."""
    if size > WHOLE_BYTES:
        raise WireError("a reply too large")
    found = _at_least(pace, rest, size)
    if len(found) > size:
        raise WireError("more than a reply")
    return found


def _chunks(pace: ReplyPace, rest: bytes) -> bytes:
    """Read a body in chunks; trailers are none that AWS sends."""
    parts: list[bytes] = []
    at = 0
    while True:
        while (end := rest.find(b"\r\n", at)) < 0:
            if len(rest) - at > HEAD_BYTES:
                raise WireError("a chunk without a size")
            rest, at = rest[at:] + _more(pace), 0
        size = int(rest[at:end].partition(b";")[0], 16)
        if not 0 <= size <= WHOLE_BYTES:
            raise WireError("a reply too large")
        begin, end = end + 2, end + 2 + size
        rest = _at_least(pace, rest, end + 2)
        if rest[end : end + 2] != b"\r\n":
            raise WireError("a chunk without its end")
        parts.append(rest[begin:end])
        at = end + 2
        if not size:
            break
    if len(rest) > at:
        raise WireError("more than a reply")
    return b"".join(parts)


def _at_least(pace: ReplyPace, rest: bytes, size: int) -> bytes:
    """Return `rest`, and behind it what comes until there are `size` bytes."""
    parts, got = [rest], len(rest)
    while got < size:
        parts.append(_more(pace))
        got += len(parts[-1])
    return b"".join(parts) if len(parts) > 1 else rest


def _more(pace: ReplyPace) -> bytes:
    data = pace.receive()
    if not data:
        raise WireError("the connection ended")
    return data
