"""What systemd is told of a process that it started with Type=notify, as sd_notify(3) says.

    READY=1                          the configuration is right, state, log and status port are there
    RELOADING=1, then READY=1        a changed configuration is taken, or was refused
    STOPPING=1                       it drains
    WATCHDOG=1                       it is well, with WatchdogSec= often enough
    EXTEND_TIMEOUT_USEC=…            it begins still, as long as `Beats` says

Where NOTIFY_SOCKET is not set, nothing is sent. Only the process that systemd started tells: those under a
supervisor are not its main process.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import AF_UNIX, SOCK_DGRAM, socket

from flows.process.supervisor import VARIABLE

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
_PATIENCE_SECONDS = 1.0
_SHARE = 3
"""So many times in the watchdog's period."""

BEGIN_SECONDS = 600.0
"""A process that has not begun by then hangs: on a machine without CPU it reads a large state meanwhile."""


def notify(*assignments: str) -> None:
    """Send assignments as one message. One that cannot be sent is not told: the manager then acts itself."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where or VARIABLE in os.environ:
        return
    with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM) as sending:
        sending.settimeout(_PATIENCE_SECONDS)
        sending.sendto("\n".join(assignments).encode(), f"\0{where[1:]}" if where[0] == "@" else where)


def reloading() -> None:
    """Tell that a reload begins, with the moment that Type=notify-reload asks for."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


class Beats:
    """Tells that the process is alive, from a thread, if that was asked for: while it begins, too.

    The watchdog runs on while a reload executes the program anew, and a start has its time limit: beginning
    may take `BEGIN_SECONDS`, each beat extends both. To be made as early as can be.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begins_until = clock, clock() + BEGIN_SECONDS
        self._unwell: Callable[[], str] | None = None
        asked, process = (os.environ.get(name, "") for name in ("WATCHDOG_USEC", "WATCHDOG_PID"))
        self._usec = int(asked) if asked.isdecimal() and process in {"", str(os.getpid())} else 0
        if self._usec:
            threading.Thread(target=self._run, name="watchdog-beats", daemon=True).start()

    def begun(self, unwell: Callable[[], str]) -> None:
        """Tell that the process has begun. unwell: why it is not well from now on, "" = it is."""
        self._unwell = unwell
        notify(READY)

    def beat(self) -> None:
        """Tell that the process is alive, unless it hangs."""
        if self._unwell is None:
            if self._clock() < self._begins_until:
                notify(ALIVE, f"EXTEND_TIMEOUT_USEC={self._usec}")
        elif not self._unwell():
            notify(ALIVE)

    def _run(self) -> None:
        while True:
            self.beat()
            time.sleep(self._usec / 1e6 / _SHARE)
