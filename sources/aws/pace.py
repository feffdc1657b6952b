"""What a reply of AWS may cost, whichever way it was asked for: seconds of waiting, and bytes.

`signed/wire.py` receives through a `ReplyPace`. boto3 has timeouts of single receives; it is given the
same where `http.client` lets one name another class for replies.
"""

import io
import math
import socket
import threading
import time
from http.client import HTTPResponse
from typing import Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
from botocore.hooks import HierarchicalEmitter

FLOOR = 1024
"""Least bytes a second of whatever one waits for."""

WINDOW_SECONDS = 10.0
"""For so long it may be less, once a reply has begun; until then a connection's own timeout holds."""

HEAD_BYTES, WHOLE_BYTES = 64 << 10, 64 << 20
"""Of a reply's head, and of one that is read whole. AWS's largest of those are ten messages of 1 MiB."""

_RECEIVE_BYTES = 256 << 10


class ReplyPace:
    """Receives one reply. Seconds that are waited are taken from what is left, bytes that come give more.

    most: bytes that may come. window: seconds that are left at most; infinite = only single receives have a
    time, the connection's. Raises TimeoutError, and OSError for a reply too large.
    """

    def __init__(self, line: socket.socket, most: int, window: float) -> None:
        self._line = line
        self._timeout = line.gettimeout() or math.inf
        self.goes_on(most, window)

    def goes_on(self, most: int, window: float) -> None:
        """Begin anew: with a reply's body, behind its head."""
        self._most, self._window = most, window
        self._left = window if window == math.inf else self._timeout

    def receive(self) -> bytes:
        """Return what one receive brings, b"" at the end."""
        began = self._begin()
        data = self._line.recv(_RECEIVE_BYTES)
        self._end(began, len(data))
        return data

    def into(self, buffer: Any) -> int:
        """Receive into a buffer; return how many bytes came."""
        began = self._begin()
        size = self._line.recv_into(buffer)
        self._end(began, size)
        return size

    def _begin(self) -> float:
        if self._left <= 0:
            raise TimeoutError(f"less than {FLOOR} bytes a second came of a reply")
        if self._left < self._timeout:  # not for the first receive, mostly the only one: it is a system call
            self._line.settimeout(self._left)
        return time.monotonic()

    def _end(self, began: float, size: int) -> None:
        self._most -= size
        if self._most < 0:
            raise OSError("a reply too large")
        if self._left < self._timeout:
            self._line.settimeout(self._timeout)
        left = self._left - (time.monotonic() - began) + size / FLOOR
        self._left = min(left, self._window)


class _PacedFile(io.RawIOBase):
    """A connection's file, read through a `ReplyPace`."""

    def __init__(self, file: io.RawIOBase, pace: ReplyPace) -> None:
        self._file, self._pace = file, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._pace.into(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Asked(threading.local):
    """What this thread asks for: a reply that is read whole, as far as a client of ours has told it."""

    whole = False


_ASKED = _Asked()


class PacedResponse(HTTPResponse):
    """A reply with a `ReplyPace`; whoever reads one that is streamed decides how long it may take."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self._pace = ReplyPace(sock, HEAD_BYTES + _RECEIVE_BYTES, WINDOW_SECONDS)
        self.fp: Any = io.BufferedReader(_PacedFile(self.fp.detach(), self._pace))

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        streamed = not _ASKED.whole and self.length is not None
        if streamed:
            self._pace.goes_on((self.length or 0) + HEAD_BYTES, math.inf)
        else:
            self._pace.goes_on(WHOLE_BYTES, WINDOW_SECONDS)


def pace_boto3(events: HierarchicalEmitter) -> None:
    """Let all that boto3 receives have a pace. events: of a session, whose clients tell what they ask."""
    AWSHTTPConnection.response_class = AWSHTTPSConnection.response_class = PacedResponse
    events.register_first("before-send", _note_asked)


def _note_asked(request: Any, **_: Any) -> None:
    _ASKED.whole = not request.stream_output
