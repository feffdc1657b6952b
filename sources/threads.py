"""The threads of a service: what ends one of them unexpectedly ends the service, at its next batch."""

import threading
from collections.abc import Callable

from sources.errors import SourceError


class Threads:
    """Starts them and remembers what has ended one."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._failure: BaseException | None = None

    def spawn(self, name: str, job: Callable[[], None]) -> None:
        """Run a job in a thread of its own."""

        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised again in the dataflow, by `check`
                self._failure = self._failure or error

        threading.Thread(target=run, name=f"{self._service}-{name}", daemon=True).start()

    def check(self) -> None:
        """Raise what has ended a thread: without it the service would stand still in silence."""
        if self._failure is not None:
            raise SourceError(
                f"a thread ended with {type(self._failure).__name__} ({self._failure})",
                f"service {self._service}",
                "start again; nothing was acknowledged. If it comes again, report it with --debug",
            ) from self._failure
