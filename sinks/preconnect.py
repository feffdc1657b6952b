"""The next connection, opened by a thread of its own while the present one is in use.

On a way of 50 ms to Devo, a connection takes 100 ms to open: half of what a receipt would cost.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeAlias

from sinks.connection import Connection
from sinks.errors import DeliveryError

Opened: TypeAlias = tuple[Connection, float]
"""A connection, and when it was opened."""

Start: TypeAlias = Callable[[Callable[[], None]], object]


def in_thread(work: Callable[[], None]) -> None:
    """Run work in a thread that does not keep the process alive."""
    Thread(target=work, name="next-connection", daemon=True).start()


class Preconnect:
    """Opens one connection ahead at a time. `failed` is called when an attempt came to nothing."""

    def __init__(
        self,
        opened: Callable[[], Opened],
        failed: Callable[[DeliveryError], None],
        start: Start = in_thread,
    ) -> None:
        self._opened, self._failed, self._start = opened, failed, start
        self._next: Future[Opened] | None = None

    def begin(self) -> None:
        """Begin to open the next connection, unless that is done already."""
        if self._next is None:
            future: Future[Opened] = Future()
            self._next = future
            self._start(lambda: _fill(future, self._opened))

    def take(self) -> Opened | None:
        """Return the connection, once it is open; None when there is none."""
        future, self._next = self._next, None
        if future is None:
            return None
        try:
            return future.result()
        except DeliveryError as error:
            self._failed(error)
            return None

    def drop(self) -> None:
        """Give up the connection, whether it is open or not yet."""
        future, self._next = self._next, None
        if future is not None:
            future.add_done_callback(_abandon)


def _fill(future: Future[Opened], opened: Callable[[], Opened]) -> None:
    try:
        future.set_result(opened())
    except BaseException as error:  # noqa: BLE001 - whoever takes the connection gets it
        future.set_exception(error)


def _abandon(future: Future[Opened]) -> None:
    if future.exception() is None:
        future.result()[0].abandon()
