"""One authenticated connection to one peer: what bytewax says to it, and how it is.

bytewax's own connection ends on loopback, in one of two ways: it dials us as if we were the peer (to peers
before it), or we dial it as if we were (from peers behind it).
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from flows.cluster.handshake import FRAME_BYTES, Frames
from transforms.locks import Guard, guarded

DATA, READY, GO, STATE, END = b"d", b"r", b"g", b"s", b"e"
_LOCKS = (Guard("_lock", ("_frames",), read_freely=True),)

LOST_SECONDS = 15.0
"""What a peer's kernel has not acknowledged for so long is lost, and the peer with it (TCP_USER_TIMEOUT)."""


def prepared(sock: socket.socket) -> socket.socket:
    """Have the kernel notice a peer that is gone, also while nothing is sent."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 5),
        (socket.TCP_KEEPINTVL, 3),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, int(LOST_SECONDS * 1000)),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


@guarded(_LOCKS)
class PeerLink:
    """A connection to a peer. index: the peer's. boot: tells one life of it from the next.

    state: what it told of itself last; heard: when, by `time.monotonic()`. ready: it has all its peers.
    """

    def __init__(self, index: int, boot: str, where: str, frames: Frames) -> None:
        self.index, self.boot, self.where = index, boot, where
        self._lock = threading.Lock()
        self._frames = frames
        self.state: dict[str, Any] = {}
        self.heard = time.monotonic()
        self.ready = False
        self.read_ended, self.write_ended = threading.Event(), threading.Event()
        self._bytewax: socket.socket | None = None
        self._joined = threading.Event()

    def __str__(self) -> str:
        return f"process {self.index} at {self.where}"

    def tell(self, kind: bytes, told: object = None) -> None:
        """Send one frame. Raises OSError."""
        with self._lock:
            self._frames.send(kind, b"" if told is None else orjson.dumps(told))

    def tell_state(self, state: object) -> None:
        """Tell how this process is, unless bytewax is just saying something. Raises OSError."""
        if self._lock.acquire(blocking=False):
            try:
                self._frames.send(STATE, orjson.dumps(state))
            finally:
                self._lock.release()

    def join(self, bytewax: socket.socket) -> None:
        """Carry what this process's bytewax says from now on, until it ends. Returns then. Raises OSError."""
        bytewax.settimeout(None)
        bytewax.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bytewax = bytewax
        self._joined.set()
        while part := _received(bytewax):
            with self._lock:
                self._frames.send(DATA, part)
        self.tell(END)
        self.write_ended.set()

    def listen(self, hear: Callable[["PeerLink", bytes, Any], None]) -> None:
        """Take in what comes until the peer has said its last. Raises OSError when it is lost before."""
        while True:
            kind, payload = self._frames.receive()
            self.heard = time.monotonic()
            if kind == DATA:
                self._hand_over(payload)
            elif kind == STATE:
                self.state = orjson.loads(payload)
            elif kind == END:
                self._shut()
                self.read_ended.set()
            else:
                hear(self, kind, orjson.loads(payload) if payload else None)

    def close(self) -> None:
        """Let go of the connection, at once."""
        for end in (self._frames.socket, self._bytewax):
            if end is not None:
                end.close()

    def _hand_over(self, payload: bytes) -> None:
        """Give bytes to bytewax; the first of them may come before it is there."""
        self._joined.wait()
        if self._bytewax is not None:
            try:
                self._bytewax.sendall(payload)
            except OSError:  # bytewax has ended before the peer: what came is of no use
                self.read_ended.set()

    def _shut(self) -> None:
        self._joined.wait()
        if self._bytewax is not None:
            try:
                self._bytewax.shutdown(socket.SHUT_WR)
            except OSError:
                self.read_ended.set()


def _received(sock: socket.socket) -> bytes:
    """Return what bytewax says; b"" when it has ended, in whatever way."""
    try:
        return sock.recv(FRAME_BYTES)
    except OSError:
        return b""
