"""A TCP proxy that forwards bytes and, when told, resets every connection that it holds."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from tests.fakes.process import HOST

_READ_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST, and what is in flight is gone


class _Pair:
    """One connection through the proxy: two sockets, one thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = (client, server)
        self.cut = False
        self._threads = [
            threading.Thread(target=self._pump, args=ends, daemon=True)
            for ends in (self.ends, self.ends[::-1])
        ]

    def run(self) -> None:
        """Forward until both directions have ended, or it is cut."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        for end in self.ends:
            end.close()

    def reset(self) -> None:
        """Make `run` end with a reset in both directions."""
        self.cut = True
        for end in self.ends:
            with suppress(OSError):  # closed already
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                sink.sendall(data)
            if not self.cut:
                sink.shutdown(socket.SHUT_WR)
        except OSError:  # one side has reset: so shall the other one
            self.reset()


class ResetProxy:
    """Listens on a free `port` and forwards to `target`, another loopback port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.resets = 0
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RD)
        self._listener.close()
        self.reset()

    def reset(self) -> int:
        """Reset all connections and return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.reset()
        self.resets += len(pairs)
        return len(pairs)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the proxy has ended
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self.target), 5)
        except OSError:  # the receiver is down: the client sees a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        server.settimeout(None)
        pair = _Pair(client, server)
        with self._lock:
            self._pairs.add(pair)
        pair.run()
        with self._lock:
            self._pairs.discard(pair)
