"""What has been told already: one cause that stops many targets is told once, not once for each of them.

A refused identity stops every service and region of its input, a lacking permission every log group. Whoever
fails first tells it; the others are quiet while it lasts. It is told again when an hour has passed, and when
who told it has recovered and another has not: then that one is not in the same trouble after all.
"""

import threading
import time
from collections.abc import Callable

REMIND_SECONDS = 3600.0

Who = tuple[str, str]
"""Who fails: a service, and a target, queue or job of it."""


class Causes:
    """Causes told lately, by text, and who is stopped by which. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, tuple[Who, float]] = {}
        self._stopped: dict[Who, str] = {}

    def first(self, cause: str, who: Who) -> bool:
        """Note that a cause stops somebody; True when it is for them to tell it."""
        now = self._clock()
        with self._lock:
            self._stopped[who] = cause
            told = self._told.get(cause)
            if told is not None and now - told[1] < REMIND_SECONDS:
                return False
            self._told[cause] = who, now
        return True

    def over(self, who: Who) -> bool:
        """Note that somebody works again; False when others told, and will tell, what had stopped them."""
        with self._lock:
            cause = self._stopped.pop(who, None)
            if cause is None:
                return True
            told = self._told.get(cause)
            if told is None or told[0] != who:
                return False
            del self._told[cause]
        return True
