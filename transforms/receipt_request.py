"""A source's wish for a receipt before its epoch ends; it flows behind the blocks that it is about.

A FIFO queue gives no more of a group until what it gave is deleted, and what is deleted was receipted: to
wait for the end of each epoch would let ten messages through in one. So a lane sends a request behind them,
every partition of every sink takes its receipt when the request comes by, and the last one makes it complete.
Within a worker items keep their order, and a request goes to all partitions: what was before it is receipted.
"""

import threading
import time

from msgspec import Struct

from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_waiting", "seconds"), read_freely=True),)


@guarded(_LOCKS)
class ReceiptRequest:
    """Made by a lane, completed by sinks. Thread-safe. seconds: how long it took, once it is complete."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: int | None = None
        self._asked = time.monotonic()
        self.seconds = 0.0

    def expect(self, partitions: int) -> None:
        """Say how many sink partitions will have to answer; before the first of them does."""
        with self._lock:
            self._waiting = partitions

    def receipted(self) -> None:
        """Note that one partition has the receipt of all that came to it before the request."""
        with self._lock:
            self._waiting = (self._waiting or 0) - 1
            self.seconds = time.monotonic() - self._asked

    @property
    def complete(self) -> bool:
        """Tell whether all that was emitted before it is receipted."""
        return self._waiting == 0


class OfPoison(Struct, frozen=True):
    """The same request on its way to quarantine, where events do not go."""

    request: ReceiptRequest

    def receipted(self) -> None:
        """Note that a partition of quarantine has all that came to it before the request."""
        self.request.receipted()
