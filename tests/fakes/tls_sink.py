"""A small receiver for tests: mutual TLS or plain TCP, lines in memory, and bad manners by plan.

    with TlsSink(certs, plan=[reset_after(1000), close_at_accept]) as sink:
        ...                     # the first connection is reset, the second closed, all others behave
        sink.stall(), sink.resume(), sink.drop(), sink.stop_listening(), sink.listen_again()
        sink.lines              # complete lines that were read, in order, per connection

What a connection does is a `Manner`: a function of the sink and the accepted socket.
"""

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self, TypeAlias

from tests.fakes.certs import Certs

READ_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)

Manner: TypeAlias = Callable[["TlsSink", socket.socket], None]


class TlsSink:
    """Listens on loopback until closed. certs None: plain TCP. behaves: the manner once `plan` is used up."""

    def __init__(
        self, certs: Certs | None, plan: Iterable[Manner] = (), behaves: Manner | None = None
    ) -> None:
        self.plan = deque(plan)
        self.behaves: Manner = behaves or answer
        self.lines: list[bytes] = []
        self.accepted = self.rejected = 0
        self.going = threading.Event()
        self.going.set()
        self.over = threading.Event()
        self.notified = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._context = None if certs is None else server_context(certs)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept, self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stall(self) -> None:
        """Stop reading on all connections."""
        self.going.clear()

    def resume(self) -> None:
        """Read on."""
        self.going.set()

    def drop(self) -> None:
        """Reset all open connections."""
        for sock in self._snapshot():
            reset(sock)

    def stop_listening(self) -> None:
        """Refuse new connections; the open ones go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def listen_again(self) -> None:
        """Listen on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._spawn(self._accept, self._listener)

    def use(self, certs: Certs) -> None:
        """Show and check other certificates from the next connection on."""
        self._context = server_context(certs)

    def close(self) -> None:
        """End everything and wait for it."""
        self.over.set()
        self.resume()
        self.stop_listening()
        for sock in self._snapshot():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR) if not isinstance(sock, ssl.SSLSocket) else reset(sock)
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many lines were read; the assertion that follows tells what is missing."""
        deadline = time.monotonic() + seconds
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.005)

    def read(self, sock: socket.socket, most: int | None = None) -> None:
        """Read lines to the end of the stream, or about `most` bytes of it."""
        rest, left = b"", most
        while left is None or left > 0:
            self.going.wait()
            data = sock.recv(READ_BYTES if left is None else min(left, READ_BYTES))
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            left = None if left is None else left - len(data)
            with self._lock:
                self.lines += lines

    def _snapshot(self) -> list[socket.socket]:
        with self._lock:
            return list(self._open)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._spawn(self._serve, raw, self.plan.popleft() if self.plan else self.behaves)

    def _serve(self, raw: socket.socket, manner: Manner) -> None:
        sock = raw
        try:
            if manner in (close_at_accept, close_in_handshake):
                manner(self, raw)
                return
            if self._context is not None:
                sock = self._handshake(raw)
            with self._lock:
                self._open.add(sock)
            manner(self, sock)
        except OSError:
            pass  # the peer broke off, or this sink is closing
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _handshake(self, raw: socket.socket) -> socket.socket:
        assert self._context is not None
        try:
            raw.getpeername()  # of one that is reset already, `wrap_socket` would lose the descriptor
            return self._context.wrap_socket(raw, server_side=True)
        except OSError:
            self.rejected += 1
            raw.close()
            raise


def server_context(certs: Certs) -> ssl.SSLContext:
    """Return a context that demands a client certificate of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.load_verify_locations(certs.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        os.close(sock.detach())


def notify(sink: TlsSink, sock: socket.socket) -> None:
    """Send close_notify and nothing else."""
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(0)
        with contextlib.suppress(OSError):
            sock.unwrap()
    sink.notified.set()


def answer(sink: TlsSink, sock: socket.socket) -> None:
    """Read to the end and answer close_notify: how a receiver should be."""
    sink.read(sock)
    if isinstance(sock, ssl.SSLSocket):
        sock.unwrap()


def silent(sink: TlsSink, sock: socket.socket) -> None:
    """Read to the end, answer nothing and keep the socket."""
    sink.read(sock)
    sink.over.wait()


def hang_up(sink: TlsSink, sock: socket.socket) -> None:
    """Read to the end and close in order, without close_notify."""
    sink.read(sock)


def keep_open(sink: TlsSink, sock: socket.socket) -> None:
    """Answer close_notify, but leave the socket open."""
    sink.read(sock)
    notify(sink, sock)
    sink.over.wait()


def never_read(sink: TlsSink, _sock: socket.socket) -> None:
    """Accept and never read."""
    sink.over.wait()


def close_at_accept(_sink: TlsSink, raw: socket.socket) -> None:
    """Close right after accepting."""
    raw.close()


def close_in_handshake(_sink: TlsSink, raw: socket.socket) -> None:
    """Close after the first bytes of the handshake."""
    raw.recv(16)
    raw.close()


def reset_after(size: int) -> Manner:
    """Return the manner: read about `size` bytes, which may end in mid-line, then reset."""

    def manner(sink: TlsSink, sock: socket.socket) -> None:
        sink.read(sock, size)
        reset(sock)

    return manner


def close_after(size: int) -> Manner:
    """Return the manner: read about `size` bytes, say close_notify, close; what comes later stays unread."""

    def manner(sink: TlsSink, sock: socket.socket) -> None:
        sink.read(sock, size)
        notify(sink, sock)

    return manner


def notify_early(size: int) -> Manner:
    """Return the manner: read `size` bytes, say close_notify, then take in the rest without looking at it."""

    def manner(sink: TlsSink, sock: socket.socket) -> None:
        sink.read(sock, size)
        notify(sink, sock)
        raw = socket.socket(fileno=os.dup(sock.fileno()))
        with raw:
            raw.settimeout(60)
            while raw.recv(READ_BYTES):
                pass

    return manner


def notify_unread(gate: threading.Event) -> Manner:
    """Return the manner: read nothing; once `gate` opens say close_notify and close, all data unread."""

    def manner(sink: TlsSink, sock: socket.socket) -> None:
        gate.wait(60)
        notify(sink, sock)

    return manner
