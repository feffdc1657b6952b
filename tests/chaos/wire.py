"""A TCP proxy between collector and receiver on which connections go wrong by order.

    with Wire(receiver.port) as wire:
        wire.reset()              RST to both sides of every connection, now
        wire.reset_after(1000)    the same once so many more bytes have gone out, in mid-record as it comes
        wire.close_at_accept()    the next connection is closed as soon as it is accepted
        wire.stall(), wire.flow() nothing passes in any direction; connections stay, new ones are accepted
        wire.deafen()             half-open: the receiver is gone, no packet of the collector is acknowledged
        wire.swallow()            half-open behind a balancer: everything is acknowledged and goes nowhere
        wire.pace(1_000_000)      the receiver reads at most so many bytes a second

Half-open needs neither root nor firewall: a socket filter that drops every packet does it (Linux).
"""

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.fakes.process import HOST

_READ_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 17  # small, so that a stall reaches the collector soon
_GLANCE_SECONDS = 0.25
_IN_ORDER = struct.pack("ii", 0, 0)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST, and what is in flight is gone
_SO_ATTACH_FILTER = 26
_BPF_RETURN = 0x06


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def _drop_all_packets(sock: socket.socket) -> None:
    """Let the kernel drop what comes in before TCP sees it: no acknowledgement, no answer, no reset."""
    nothing = _Instruction(_BPF_RETURN, 0, 0, 0)
    program = _Program(1, ctypes.pointer(nothing))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))


class _Pair:
    """One connection through the proxy: two sockets, one thread for each direction."""

    def __init__(self, wire: "Wire", client: socket.socket, server: socket.socket) -> None:
        self._wire, self._client, self._server = wire, client, server
        self._cut = self._left = False
        for end in (client, server):
            end.settimeout(_GLANCE_SECONDS)

    def run(self) -> None:
        """Forward until both directions have ended, or until something has gone wrong."""
        back = threading.Thread(target=self._pump, args=(self._server, self._client, int), daemon=True)
        back.start()
        self._pump(self._client, self._server, self._wire.let_out)
        back.join()
        self._server.close()
        if self._left:
            self._linger()
        self._client.close()

    def reset(self) -> None:
        """Make `run` end with a reset in both directions."""
        self._cut = True
        for end in (self._client, self._server):
            with suppress(OSError):  # closed already
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it

    def leave(self, *, deaf: bool) -> None:
        """Reset the receiver's side and keep the collector's: it hears of nothing."""
        with suppress(OSError):
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if deaf:
                _drop_all_packets(self._client)
        self._cut = self._left = True

    def _linger(self) -> None:
        """Take in what still comes, answer nothing, until the wire is taken down."""
        while not self._wire.over.is_set():
            try:
                if not self._client.recv(_READ_BYTES):
                    self._wire.over.wait()
            except TimeoutError:
                continue
            except OSError:  # the collector has reset it
                return

    def _pump(self, source: socket.socket, sink: socket.socket, allow: Callable[[int], int]) -> None:
        try:
            while not self._cut:
                try:
                    data = source.recv(_READ_BYTES)
                except TimeoutError:
                    continue
                if not data:
                    break
                self._give(sink, data, allow)
            if not self._cut:
                self._wire.going.wait()
                sink.shutdown(socket.SHUT_WR)
        except OSError:  # one side has reset: so shall the other one
            if not self._left:
                self.reset()

    def _give(self, sink: socket.socket, data: bytes, allow: Callable[[int], int]) -> None:
        while not (self._wire.going.wait(_GLANCE_SECONDS) or self._cut):
            pass
        allowed = allow(len(data))
        view = memoryview(data)[:allowed]
        while view and not self._cut:
            with suppress(TimeoutError):
                view = view[sink.send(view) :]
        if allowed < len(data):
            self._wire.strike_reset()


class Wire:
    """Listens on a free `port` and forwards to `target`, another loopback port.

    accepted, closed: connections so far, and those closed at once. sent: bytes let out to the receiver.
    struck: what went wrong by order.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.accepted = self.closed = self.sent = self.struck = 0
        self.going, self.over = threading.Event(), threading.Event()
        self.going.set()
        self._until_reset: int | None = None
        self._closing: bytes | None = None
        self._rate = 0
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._listener = socket.create_server((HOST, 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RD)
        self._listener.close()
        self.over.set()
        self.flow()
        self.reset()

    def reset(self) -> int:
        """Reset all connections and return how many there were."""
        pairs = self._take()
        for pair in pairs:
            pair.reset()
        self.struck += len(pairs)
        return len(pairs)

    def reset_after(self, size: int) -> None:
        """Reset all connections, once, when `size` more bytes have gone out on any of them."""
        with self._lock:
            self._until_reset = size

    def close_at_accept(self, *, by_reset: bool = False) -> None:
        """Close the next connection at once."""
        with self._lock:
            self._closing = _RESET if by_reset else _IN_ORDER

    def stall(self) -> None:
        """Let nothing pass."""
        self.going.clear()
        self.struck += 1

    def flow(self) -> None:
        """Let everything pass again."""
        self.going.set()

    def deafen(self) -> int:
        """Leave all connections half-open, the collector's packets unanswered; return how many."""
        return self._leave(deaf=True)

    def swallow(self) -> int:
        """Leave all connections half-open, the collector's bytes acknowledged; return how many."""
        return self._leave(deaf=False)

    def pace(self, bytes_per_second: int) -> None:
        """Let out at most so much from now on; 0 = all there is."""
        self._rate = bytes_per_second
        self.struck += bool(bytes_per_second)

    # called by pairs

    def let_out(self, size: int) -> int:
        """Return how many of these bytes may go to the receiver; fewer than all = reset after them."""
        if self._rate:
            time.sleep(size / self._rate)
        with self._lock:
            allowed = size
            if self._until_reset is not None:
                allowed = min(size, self._until_reset)
                self._until_reset -= allowed
                if allowed < size:
                    self._until_reset = None
            self.sent += allowed
        return allowed

    def strike_reset(self) -> None:
        """Carry out what `reset_after` has ordered."""
        for pair in self._take():
            pair.reset()
        self.struck += 1

    def _leave(self, *, deaf: bool) -> int:
        pairs = self._take()
        for pair in pairs:
            pair.leave(deaf=deaf)
        self.struck += len(pairs)
        return len(pairs)

    def _take(self) -> set[_Pair]:
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        return pairs

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the wire was taken down
                return
            self.accepted += 1
            if not self._closed(client):
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _closed(self, client: socket.socket) -> bool:
        with self._lock:
            how, self._closing = self._closing, None
        if how is None:
            return False
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)
        client.close()
        self.closed += 1
        self.struck += 1
        return True

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self.target), 5)
        except OSError:  # the receiver is down: the collector sees a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        pair = _Pair(self, client, server)
        with self._lock:
            self._pairs.add(pair)
        pair.run()
        with self._lock:
            self._pairs.discard(pair)
