"""The resilient link of one output: it holds what has no receipt yet and sends it again after any failure.

    write(block)   goes out at once, and into the resend window; the first one has the next connection opened
    begin()        our end of the connection is closed
    finish()       the receiver's answer: the window is empty again, and the next connection is there

A window that is half full is asked for early, so that its receipt comes in while the other half fills: nobody
waits for it unless the receiver is slower than we are. A full one waits.

Each receipt costs the connection, so connections live for one epoch that had events. What Devo's own senders
do every hour, renewing connections, comes for free.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sinks import telemetry
from sinks.connection import Buffer, Connection, ReceiptStrength, Tick
from sinks.errors import Interrupted, NoReceipt
from sinks.preconnect import Opened, Preconnect, Start, in_thread
from sinks.retry_budget import Clock, RetryBudget
from transforms.block import LEAST_EVENT_BYTES, Block

IDLE_SECONDS = 25.0
"""A connection unused for so long is not trusted: Devo's balancer drops them after 30 s, without a word."""

ASK_AGAIN_SECONDS = 600.0
"""How often a receiver that never answered is asked for a close_notify again."""

_ASK_AGAIN_TIMEOUT = 5.0
_FEW_EVENTS = 4096


Connect: TypeAlias = Callable[[Tick], Connection]
Encode: TypeAlias = Callable[[Block, float], tuple[Buffer, ...]]
"""Block and fullness of the window (0 to 1) → the bytes to send."""


class ReceiptPolicy:
    """What is known of a receiver's habit to answer; shared by all links of an output.

    Who has answered once must answer always. Who never did gets the weaker strength, and is asked again; but
    not on one connection's word: it may have been half-open, behind a balancer that acknowledges everything.
    """

    def __init__(self, output: str, timeout: float, *, fallback: bool = True) -> None:
        self._output, self._fallback = output, fallback
        self._timeout = self.kernel_timeout = timeout
        self._answered = self._told = False
        self._strength = ReceiptStrength.RECEIPT
        self._silent_since: float | None = None

    @property
    def strength(self) -> ReceiptStrength:
        """What the receiver's answers have proved so far; RECEIPT until one has proved less."""
        return self._strength

    def expected(self, now: float) -> bool:
        """Whether it is worth closing the connection for an answer."""
        return self._silent_since is None or now - self._silent_since >= ASK_AGAIN_SECONDS

    @property
    def timeout(self) -> float:
        """How long to wait for an answer, in seconds."""
        return self._timeout if self._silent_since is None else min(self._timeout, _ASK_AGAIN_TIMEOUT)

    def in_doubt(self, strength: ReceiptStrength) -> bool:
        """Whether this first silence could be the connection's fault: another one shall be tried."""
        return strength is ReceiptStrength.KERNEL and self._fallback and not (self._answered or self._told)

    def judge(self, strength: ReceiptStrength, where: str, now: float) -> ReceiptStrength:
        """Accept what a closed connection has proved. Raises NoReceipt."""
        if strength is ReceiptStrength.RECEIPT:
            self._strength = strength
            if self._told:
                telemetry.receipt_restored(self._output, strength)
            self._answered, self._told, self._silent_since = True, False, None
            return strength
        if self._answered or not self._fallback:
            raise NoReceipt(
                "the receiver gave no receipt", where, "everything since the last one is sent again"
            )
        if strength is ReceiptStrength.KERNEL:
            self._silent_since = now
        if not self._told or strength is not self._strength:
            telemetry.receipt_fallback(self._output, where, strength)
        self._told, self._strength = True, strength
        return strength


class Link:
    """One connection at a time to one output, with its resend window of `window_bytes` of payload."""

    def __init__(  # noqa: PLR0913 - the parts of a link, each brought by the builder
        self,
        name: str,
        connect: Connect,
        encode: Encode,
        *,
        window_bytes: int,
        receipt_policy: ReceiptPolicy,
        retry_budget: RetryBudget,
        clock: Clock,
        start: Start = in_thread,
    ) -> None:
        self.name = name
        self._connect, self._encode = connect, encode
        self._receipt_policy, self._retry_budget, self._clock = receipt_policy, retry_budget, clock
        self._limit = window_bytes
        self._most_events = max(window_bytes // LEAST_EVENT_BYTES, _FEW_EVENTS)
        self._window: list[Block] = []
        self._bytes = self._events = 0  # of the window
        self._asked = 0  # so many blocks at the window's head are on the connection that is closing
        self._preconnect: Preconnect = Preconnect(
            self._dial, partial(telemetry.next_connection_failed, name), start
        )
        self._connection: Connection | None = None
        self._closing: Connection | None = None
        self._failure: Interrupted | None = None
        self._kernel_only = False
        self._used = self._began = clock.now()
        telemetry.window_opened(name, window_bytes)

    @property
    def strength(self) -> ReceiptStrength:
        """How much receipts prove with this receiver."""
        return self._receipt_policy.strength

    def write(self, block: Block) -> None:
        """Send a block. Returns when the kernel has it; raises OutageTooLong."""
        self._make_room(block)
        fresh = self._asked == len(self._window)
        self._keep(block)
        try:
            self._send(self._fresh() if fresh else self._live(), block)
        except Interrupted as error:
            self._recover(error)
        if fresh and self._receipt_policy.expected(self._used):
            self._preconnect.begin()
        telemetry.block_written(self.name, block.count, len(block.payload))

    def begin(self) -> None:
        """Ask for the receipt of everything written; only one that was asked for early is waited for."""
        if self._asked and self._asked < len(self._window):
            self._take_asked()
        if self._asked == len(self._window):
            return
        self._asked = len(self._window)
        self._began = self._clock.now()
        self._kernel_only = not self._receipt_policy.expected(self._began)
        if self._kernel_only or self._retry_budget.draining:
            self._preconnect.drop()  # nobody will use it
        else:
            self._preconnect.begin()
        if self._kernel_only:
            return
        try:
            connection = self._live()
            connection.begin_close()
        except Interrupted as error:
            self._failure = error
            return
        self._closing, self._connection = connection, None

    def receipt(self) -> ReceiptStrength:
        """Take the receipt of everything written now."""
        self.begin()
        return self.finish()

    def finish(self) -> ReceiptStrength:
        """Wait for the receipt of everything written. Raises OutageTooLong."""
        strength = ReceiptStrength.RECEIPT  # as long as nothing was written
        while self._window:
            self.begin()
            strength = self._take_asked()
        return strength

    def close(self) -> None:
        """Drop the connections, without any promise; the end of this link."""
        self._drop()
        self._empty()
        telemetry.window_opened(self.name, -self._limit)

    def _make_room(self, block: Block) -> None:
        """See that a block fits into the window, as far as one block can."""
        if self._window and not self._has_room(block):
            telemetry.window_full(self.name, self._bytes)
            self._take_asked() if self._asked else self.finish()
        if self._window and not self._has_room(block):
            self.finish()
        if (
            self._bytes >= self._limit / 2
            and not self._asked
            and self._receipt_policy.expected(self._clock.now())
        ):
            self.begin()

    def _has_room(self, block: Block) -> bool:
        if self._bytes + len(block.payload) > self._limit:
            return False
        return self._events + block.count <= self._most_events

    def _empty(self) -> None:
        telemetry.window_changed(self.name, -self._bytes)
        self._window, self._bytes, self._events, self._asked = [], 0, 0, 0

    def _keep(self, block: Block) -> None:
        telemetry.window_changed(self.name, len(block.payload))
        self._window.append(block)
        self._bytes += len(block.payload)
        self._events += block.count

    def _send(self, connection: Connection, block: Block) -> None:
        connection.send(*self._encode(block, min(self._bytes / self._limit, 1.0)))
        self._used = self._clock.now()

    def _take_asked(self) -> ReceiptStrength:
        """Wait for the receipt that is asked for; when none comes, everything is sent again and asked for."""
        while True:
            try:
                strength = self._await()
            except Interrupted as error:
                self._recover(error)
                self.begin()
            else:
                self._delivered(strength)
                return strength

    def _delivered(self, strength: ReceiptStrength) -> None:
        done, self._window, self._asked = self._window[: self._asked], self._window[self._asked :], 0
        size, events = sum(len(block.payload) for block in done), sum(block.count for block in done)
        self._bytes -= size
        self._events -= events
        telemetry.window_changed(self.name, -size)
        seconds = self._clock.now() - self._began
        telemetry.receipt_taken(self.name, strength, events, seconds)
        self._retry_budget.delivered()

    def _await(self) -> ReceiptStrength:
        if self._failure is not None:
            raise self._failure
        if self._kernel_only:
            return self._live().await_kernel(self._receipt_policy.kernel_timeout)
        closing, self._closing = self._closing, None
        if closing is None:
            raise self._unreceipted("nothing is closing")
        strength = closing.await_close(self._receipt_policy.timeout)
        if self._receipt_policy.in_doubt(strength):
            self._receipt_policy.judge(self._probe(), closing.where, self._clock.now())
        return self._receipt_policy.judge(strength, closing.where, self._clock.now())

    def _probe(self) -> ReceiptStrength:
        """Return what the receiver answers to a connection that brings nothing. Raises Interrupted."""
        connection, _ = self._dial()
        try:
            connection.begin_close()
            return connection.await_close(self._receipt_policy.timeout)
        finally:
            connection.abandon()

    def _recover(self, error: Interrupted) -> None:
        """Open a new connection and send the whole window, as often as it takes."""
        self._asked = 0
        while True:
            self._drop()
            self._retry_budget.failed(error, self._events)
            try:
                self._connection = self._open()
                for block in self._window:
                    self._send(self._connection, block)
            except Interrupted as again:
                error = again
            else:
                return

    def _fresh(self) -> Connection:
        """Return a connection for the first block after a receipt: the one at hand, unless it was idle."""
        if self._connection is None and (opened := self._preconnect.take()):
            self._connection, self._used = opened
        if self._connection is not None:
            try:
                if self._clock.now() - self._used < IDLE_SECONDS:
                    return self._live()
            except Interrupted:
                telemetry.peer_closed_idle(self.name, self._connection.where)
            if self._asked and self._kernel_only:  # it is this connection that was asked
                raise self._unreceipted("the connection that was asked is gone")
            self._connection.abandon()  # not the one before it, which owes its receipt
            self._connection = None
        self._connection = self._open()
        return self._connection

    def _live(self) -> Connection:
        """Return the connection that the window went over. Raises Interrupted."""
        if self._connection is None:
            raise self._unreceipted("no connection is left")
        self._connection.check_open()
        return self._connection

    def _unreceipted(self, why: str) -> NoReceipt:
        return NoReceipt(why, self.name, "everything since the last receipt is sent again")

    def _open(self) -> Connection:
        connection, self._used = self._dial()
        return connection

    def _dial(self) -> Opened:
        """Open a connection; of this link's state nothing changes, so that a thread may do it."""
        started = self._clock.now()
        connection = self._connect(self._retry_budget.tick)
        now = self._clock.now()
        telemetry.connection_opened(self.name, connection.where, now - started)
        return connection, now

    def _drop(self) -> None:
        self._preconnect.drop()
        for connection in (self._connection, self._closing):
            if connection is not None:
                connection.abandon()
        self._connection = self._closing = self._failure = None
