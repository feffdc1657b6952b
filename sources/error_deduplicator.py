"""Which causes have been logged: one that stops many targets is logged once, not once for each of them.

A refused identity stops every service and region of its input, a lacking permission every log group. Whoever
fails first logs it; the others are quiet while it lasts. It is logged again when an hour has passed, and when
who logged it has recovered and another has not: then that one has another cause after all.
"""

import threading
import time
from collections.abc import Callable

from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_told",)),)

REMIND_SECONDS = 3600.0

Who = tuple[str, str]
"""Who fails: a service, and a target, queue or job of it."""


@guarded(_LOCKS)
class ErrorDeduplicator:
    """Causes logged lately, by text: by whom, and when. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._told: dict[str, tuple[Who, float]] = {}

    def first(self, cause: str, who: Who) -> bool:
        """Note that a cause stops a target; True when it is the one to log it."""
        now = self._clock()
        with self._lock:
            told = self._told.get(cause)
            if told is not None and now - told[1] < REMIND_SECONDS:
                return False
            self._told[cause] = who, now
        return True

    def over(self, cause: str, who: Who) -> bool:
        """Note that a cause stops a target no more; False when another one has logged it."""
        with self._lock:
            told = self._told.get(cause)
            if told is None or told[0] != who:
                return False
            del self._told[cause]
        return True
