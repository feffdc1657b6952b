"""The threads of a service: what ends one of them unexpectedly ends the service, at its next batch.

Each knows for whom it works, so that what it asks of AWS is put on the right bill.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

from sources.errors import SourceError
from sources.metric_scopes import NOBODY, ScopeOwner


class Payer(NamedTuple):
    """For whom AWS is asked. service: name in the catalogue. input, setting: see `ScopeOwner`."""

    service: str = ""
    input: str = ""
    setting: str = ""


class _Here(threading.local):
    payer = Payer()


_HERE = _Here()


def payer() -> Payer:
    """Return for whom this thread works; of what the collector itself needs, all fields are ""."""
    return _HERE.payer


def works_for(who: Payer) -> None:
    """Let this thread work for somebody from now on."""
    _HERE.payer = who


class Threads:
    """Starts them and remembers what has ended one."""

    def __init__(self, service: str, owner: ScopeOwner = NOBODY) -> None:
        self._service, self._payer = service, Payer(service, *owner)
        self._failure: BaseException | None = None

    def spawn(self, name: str, job: Callable[[], None]) -> None:
        """Run a job in a thread of its own."""

        def run() -> None:
            works_for(self._payer)
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
