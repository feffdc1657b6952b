"""One TCP connection that ends with a receipt. `tls.py` does the same under TLS.

The socket never blocks: each wait is cut into ticks, so that a process told to end notices it while a
receiver stalls. A buffer is never sent on after an error: who sent it opens a new connection and sends all
that has no receipt.

What counts as a receipt
------------------------
We end our side; a receiver can answer that only after it has read everything before it. But:

- It must not have ended its side before us: what looks like an answer would be none. So we look before we
  end ours, and when its end comes in, its kernel must have acknowledged ours (`unsent() == 0`).
- It must not reset the connection: a kernel does that when a process closes with data unread.

What no sender can see: a receiver that reads everything and throws it away, e.g. one that has decided to
close, says so, and empties its socket to be polite, in the very moment in which we end our side.
"""

import array
import fcntl
import select
import socket
import termios
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from ssl import SSLWantReadError, SSLWantWriteError
from typing import TypeAlias, TypeVar

from msgspec import Struct

from sinks.errors import ConnectionLost, NoReceipt, close_error, connect_error, lost_error, tls_spoken

T = TypeVar("T")
Buffer: TypeAlias = bytes | memoryview
Tick: TypeAlias = Callable[[], None]
"""Called at least each `TICK_SECONDS` of waiting; raises to give up."""

TICK_SECONDS = 0.5
READ_BYTES = 1 << 16
_SLICE_BYTES = 1 << 18
_OUTQ_POLL_SECONDS = 0.01
_TLS_ALERT = b"\x15\x03"
"""How a record of TLS begins that says why a receiver hangs up (RFC 8446, 5.1)."""


class ReceiptStrength(StrEnum):
    """How much is known about what was sent.

    RECEIPT: the receiver's process has read it and said so (close_notify; on plain TCP end-of-file).
    CLOSED:  a TLS receiver ended the connection in order, but without close_notify: read, not confirmed.
    KERNEL:  the receiver's kernel has it.
    WRITTEN: it is on disk, or was taken by standard output.
    NONE:    nothing: an output with `required: false` that is left alone after a failure.
    """

    RECEIPT = "receipt"
    CLOSED = "closed"
    KERNEL = "kernel"
    WRITTEN = "written"
    NONE = "none"


class Endpoint(Struct, frozen=True):
    """Where to connect to, and how long to wait. Units: seconds."""

    address: str
    port: int
    connect_timeout: float
    sending_timeout: float

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


def connect(endpoint: Endpoint, tick: Tick) -> "Connection":
    """Open a plain TCP connection. Raises Interrupted."""
    return Connection(open_socket(endpoint), endpoint, tick)


def open_socket(endpoint: Endpoint) -> socket.socket:
    """Return a connected socket that does not block. Raises Interrupted."""
    try:
        sock = socket.create_connection((endpoint.address, endpoint.port), endpoint.connect_timeout)
    except OSError as error:
        raise connect_error(error, str(endpoint)) from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else close_notify waits for a delayed ack
    sock.settimeout(0)
    return sock


class Connection:
    """An open connection. Its methods raise Interrupted when it has broken; only `abandon` is left then."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint, tick: Tick) -> None:
        self.where = str(endpoint)
        self._sock = sock
        self._timeout = endpoint.sending_timeout
        self._tick = tick

    def send(self, *buffers: Buffer) -> None:
        """Hand all bytes to the kernel."""
        try:
            for buffer in buffers:
                self._send(memoryview(buffer))
        except OSError as error:
            raise lost_error(error, self.where) from error

    def _send(self, view: memoryview) -> None:
        sent = 0
        while sent < len(view):
            part = view[sent : sent + _SLICE_BYTES]
            sent += self.persist(partial(self._sock.send, part), self._timeout, select.POLLOUT)

    def receive(self, timeout: float) -> bytes:
        """Return what comes within `timeout` seconds; b"" when the receiver has ended its side."""
        try:
            return self.persist(partial(self._sock.recv, READ_BYTES), timeout)
        except TimeoutError as error:
            raise ConnectionLost("nothing came in time", self.where, "look at its load") from error
        except OSError as error:
            raise lost_error(error, self.where) from error

    def quiet(self) -> bool:
        """Tell whether nothing came: neither a byte, nor an end, nor an error."""
        try:
            self._sock.recv(1)
        except (SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False
        return False

    def check_open(self) -> None:
        """Raise ConnectionLost when the receiver has closed, e.g. because the connection was idle.

        Reading also takes in the session tickets of TLS 1.3: unread, they would turn our close into a reset.
        """
        try:
            self.ended()
        except (SSLWantReadError, BlockingIOError):
            return
        except OSError as error:
            raise lost_error(error, self.where) from error
        raise ConnectionLost(
            "the receiver has closed the connection", self.where, "it is opened again by itself"
        )

    def listen(self, seconds: float) -> None:
        """Wait so long for a refusal. Raises it.

        In TLS 1.3 a receiver refuses our certificate after the handshake; had we sent something by then, its
        reset would overtake its word.
        """
        try:
            self.persist(self.ended, seconds)
        except TimeoutError:
            return
        except OSError as error:
            raise lost_error(error, self.where) from error

    def begin_close(self) -> None:
        """End our side without waiting for the receiver."""
        self.check_open()
        try:
            self.end_of_file()
        except OSError as error:
            raise lost_error(error, self.where) from error

    def await_close(self, timeout: float) -> ReceiptStrength:
        """Wait for the receiver's end and say what it proves. The connection is over then, whatever comes.

        timeout: seconds without progress.
        """
        try:
            return self.closing(timeout)
        except OSError as error:
            raise close_error(error, self.where) from error
        finally:
            self.abandon()

    def await_kernel(self, timeout: float) -> ReceiptStrength:
        """Wait until the receiver's kernel has everything, and keep the connection.

        timeout: seconds without progress.
        """
        left, deadline = self.unsent(), time.monotonic() + timeout
        while unsent := self.unsent():
            if unsent < left:
                left, deadline = unsent, time.monotonic() + timeout
            if time.monotonic() > deadline:
                raise ConnectionLost("the receiver has stopped reading", self.where, "look at its load")
            self.wait(select.POLLERR, _OUTQ_POLL_SECONDS)
            self._tick()
        self.check_open()
        return ReceiptStrength.KERNEL

    def unsent(self) -> int:
        """Return how many bytes the receiver's kernel has not acknowledged (TIOCOUTQ)."""
        count = array.array("i", [0])
        fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, count)
        return count[0]

    def abandon(self) -> None:
        """Close at once, without any promise."""
        self._sock.close()

    # The parts below are what `tls.py` builds on; each raises OSError.

    def ended(self) -> None:
        """Return when the receiver has ended its side in order; WantRead or BlockingIOError: not yet."""
        if said := self._sock.recv(READ_BYTES):
            if said.startswith(_TLS_ALERT):
                raise tls_spoken(self.where)
            raise BlockingIOError  # receivers have nothing to say on this path; it is not the end

    def end_of_file(self) -> None:
        """End our side of the TCP connection."""
        socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def closing(self, timeout: float) -> ReceiptStrength:
        """Wait for the receiver's end of file."""
        if not self.answered(self.ended, timeout):
            return self.silent()
        self.require_read()
        return ReceiptStrength.RECEIPT

    def answered(self, step: Callable[[], None], timeout: float) -> bool:
        """Wait for the receiver's end as long as it still takes in bytes; False when it is silent."""
        left = self.unsent() + 1
        while (unsent := self.unsent()) < left:
            left = unsent
            try:
                self.persist(step, timeout)
            except TimeoutError:
                continue
            return True
        return False

    def silent(self) -> ReceiptStrength:
        """Judge a receiver that answers nothing."""
        if self.unsent():
            raise NoReceipt("the receiver has stopped reading", self.where, "look at its load")
        return ReceiptStrength.KERNEL

    def require_read(self) -> None:
        """Refuse an end that the receiver sent before it had all of ours."""
        if self.unsent():
            raise NoReceipt(
                "the receiver closed before it had everything", self.where, "it is opened again by itself"
            )

    def persist(self, step: Callable[[], T], timeout: float, direction: int = select.POLLIN) -> T:
        """Repeat a step that does not block until it is done, or raise TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return step()
            except SSLWantReadError:
                wanted = select.POLLIN
            except SSLWantWriteError:
                wanted = select.POLLOUT
            except BlockingIOError:
                wanted = direction
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no progress")
            if not self.wait(wanted, min(left, TICK_SECONDS)):
                self._tick()

    def wait(self, direction: int, seconds: float) -> bool:
        """Wait until the socket is ready (or broken); False when it is not in time."""
        poll = select.poll()
        poll.register(self._sock, direction)
        return bool(poll.poll(seconds * 1000))
