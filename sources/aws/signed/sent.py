"""What a boto3 client has sent, from which is learnt how it asks."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class SentRequests:
    """The requests that a client sends for an event of botocore's (`before-send.…`). Thread-safe."""

    def __init__(self, client: Any, event: str) -> None:
        self._last = threading.local()
        client.meta.events.register(event, self._see)

    def during(self, ask: Callable[[], _T]) -> tuple[_T, Any]:
        """Ask, and return the reply with the last request that was sent for it; None when none was."""
        self._last.request = None
        return ask(), self._last.request

    def _see(self, request: Any, **_: Any) -> None:
        self._last.request = request
