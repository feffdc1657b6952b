"""How long a way that fails is tried."""

import threading
import time

from transforms.locks import Guard, guarded

FAILURES, REST_SECONDS = 5, 60.0
"""After so many failures in a row the way rests for so long."""

_LOCKS = (Guard("_lock", ("_failed", "_rest_until")),)


@guarded(_LOCKS)
class Patience:
    """Counts failures in a row. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._failed, self._rest_until = 0, 0.0

    @property
    def rests(self) -> bool:
        """Tell whether another way is to be taken for now."""
        with self._lock:
            return time.monotonic() < self._rest_until

    def note(self, *, plain: bool) -> None:
        """Take in how a try ended."""
        with self._lock:
            self._failed = 0 if plain else self._failed + 1
            if self._failed >= FAILURES:
                self._failed, self._rest_until = 0, time.monotonic() + REST_SECONDS
