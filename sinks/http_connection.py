"""One keep-alive connection to an HTTP receiver, with one request under way at a time.

The bytes go over our own connections (ticks, timeouts, certificates, translated errors); `http.client` reads
the answers. No HTTP client writes the requests: their URL holds the token, and clients put URLs into logs
and errors.
"""

import contextlib
import http.client
import io
import select
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from sinks.connection import Buffer, Connection, Tick
from sinks.errors import ConnectionLost, Interrupted, NoReceipt
from sinks.link import IDLE_SECONDS
from sinks.request import HttpAnswer
from sinks.retry_budget import Clock

_BODY_BYTES = 1 << 16
"""An answer with a longer body costs the connection: nobody reads it."""

_NO_SUCCESS = 300
_AGAIN = "everything without an answer is sent again"


Dial: TypeAlias = Callable[[Tick], Connection]


class HttpConnection:
    """Sends requests and reads their answers, in turn; opens its connection when there is none.

    timeout: how long an answer may take from the moment in which it is waited for, in seconds.
    """

    def __init__(self, dial: Dial, tick: Tick, timeout: float, clock: Clock) -> None:
        self._dial, self._tick, self._timeout, self._clock = dial, tick, timeout, clock
        self._line: Connection | None = None
        self._used = clock.now()
        self._sent = False

    def post(self, head: bytes, body: tuple[Buffer, ...]) -> None:
        """Send a request. Raises Interrupted."""
        line, self._sent = self._ready(), False
        try:
            line.send(head, *body)
        except Interrupted:
            if not line.wait(select.POLLIN, 0.0):
                self.drop()
                raise
            return  # refused in the middle of its body: the answer tells more than the broken connection
        self._sent = True

    def answer(self) -> HttpAnswer:
        """Wait for the answer to the last request. Raises Interrupted."""
        line = self._line
        if line is None:
            raise NoReceipt("no connection is left", "the receiver", _AGAIN)
        reader: Any = _Socket(line, time.monotonic() + self._timeout)
        response = http.client.HTTPResponse(reader, method="POST")
        try:
            response.begin()
            whole = self._sent and not line.unsent()
            reusable = whole and _read_out(response)
        except (http.client.HTTPException, ValueError, OSError, Interrupted) as error:
            self.drop()
            what = error.what if isinstance(error, Interrupted) else type(error).__name__
            raise NoReceipt(f"no answer ({what})", line.where, _AGAIN) from error
        self._used = self._clock.now()
        if not reusable:
            self.drop()
        if not whole and response.status < _NO_SUCCESS:
            raise NoReceipt("an answer before the receiver had everything", line.where, _AGAIN)
        return HttpAnswer(response.status, response.getheader("Retry-After"))

    def drop(self) -> None:
        """Close the connection, without any promise."""
        if self._line is not None:
            self._line.abandon()
            self._line = None

    def _ready(self) -> Connection:
        """Return a connection that may be used: keep-alive ends without a word."""
        if self._line is not None and not self._alive(self._line):
            self.drop()
        if self._line is None:
            self._line = self._dial(self._tick)
        return self._line

    def _alive(self, line: Connection) -> bool:
        if self._clock.now() - self._used >= IDLE_SECONDS:
            return False
        return line.quiet()


def _read_out(response: http.client.HTTPResponse) -> bool:
    """Read the rest of an answer; False when the connection cannot be used after it.

    Only the status counts, so a rest that breaks off costs the connection and nothing else.
    """
    with contextlib.suppress(http.client.HTTPException, Interrupted, ValueError):
        response.read(_BODY_BYTES)
        return response.isclosed() and not response.will_close
    return False


class _Socket:
    """As much of a socket as `http.client` reads answers from."""

    def __init__(self, line: Connection, deadline: float) -> None:
        self._line, self._deadline = line, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Stream(self._line, self._deadline))


class _Stream(io.RawIOBase):
    """What comes over a connection until a point in time: drop by drop is no way round the limit."""

    def __init__(self, line: Connection, deadline: float) -> None:
        self._line, self._deadline = line, deadline
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise ConnectionLost("nothing came in time", self._line.where, "look at its load")
            self._rest = self._line.receive(left)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
