"""Counts each line of the large objects of `load`, at some hundred thousand a second and in little memory."""

import re
import socket
import ssl
import threading
import time

from tests.fakes.tls_sink import TlsSink

_READ_BYTES = 1 << 18
_LINE = re.compile(
    rb"<14>Jan  1 00:00:00 \S+ cloud\.aws\.vpc\.flow: 2 000123456789 eni-(\d{10}) 10\.\d+\.\d+\.\d+ "
    rb"10\.0\.0\.9 \d+ 443 6 7 840 (\d+) \d+ ACCEPT OK\n"
)


class Tally:
    """What has arrived: which rows of which objects, whole objects by number only.

    received: lines. repeated: those that had come before. torn: lines that are none of ours.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.received = self.repeated = self.torn = 0
        self.whole: set[int] = set()
        self._part: dict[int, bytearray] = {}
        self._left: dict[int, int] = {}
        self._lock = threading.Lock()
        self._last = 0.0
        self.longest_stall = 0.0

    def take(self, text: bytes) -> None:
        """Count whole lines."""
        found = _LINE.findall(text)
        with self._lock:
            now = time.monotonic()
            self.longest_stall = max(self.longest_stall, now - (self._last or now))
            self._last = now
            self.received += len(found)
            self.torn += text.count(b"\n") - len(found)
            for number, row in found:
                self._count(int(number), int(row))

    @property
    def quiet_seconds(self) -> float:
        """Return how long nothing has arrived."""
        return time.monotonic() - self._last

    def lost(self, objects: int) -> int:
        """Return how many lines of the objects 0 to `objects` are missing."""
        with self._lock:
            missing = [number for number in range(objects) if number not in self.whole]
            return sum(self._left.get(number, self._rows) for number in missing)

    def _count(self, number: int, row: int) -> None:
        if number in self.whole:
            self.repeated += 1
            return
        seen = self._part.get(number)
        if seen is None:
            seen = self._part[number] = bytearray(self._rows)
            self._left[number] = self._rows
        if seen[row]:
            self.repeated += 1
            return
        seen[row] = 1
        self._left[number] -= 1
        if not self._left[number]:
            self.whole.add(number)
            del self._part[number], self._left[number]

    def __call__(self, sink: TlsSink, connection: socket.socket) -> None:
        """Receive as a manner of the small receiver: read to the end, count, answer close_notify."""
        rest = b""
        while True:
            sink.going.wait()
            data = connection.recv(_READ_BYTES)
            if not data:
                break
            lines, newline, rest = (rest + data).rpartition(b"\n")
            self.take(lines + newline)
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()
