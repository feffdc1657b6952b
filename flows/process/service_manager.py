"""What systemd is told of a process that it started with Type=notify, as sd_notify(3) says.

    READY=1                          the configuration is right, state, log and status port are there
    RELOADING=1, then READY=1        a changed configuration is taken, or was refused
    STOPPING=1                       it drains
    WATCHDOG=1                       it is well, with WatchdogSec= often enough

Where NOTIFY_SOCKET is not set, nothing is sent. Only the process that systemd started tells: those under a
supervisor are not its main process.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import AF_UNIX, SOCK_DGRAM, socket

from flows.process.supervisor import VARIABLE

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
_PATIENCE_SECONDS = 1.0
_SHARE = 3
"""So many times in the watchdog's period."""


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


def beats(unwell: Callable[[], str]) -> threading.Thread | None:
    """Tell from a thread that the process is alive, if that was asked for. unwell: see `beat`."""
    asked, process = (os.environ.get(name, "") for name in ("WATCHDOG_USEC", "WATCHDOG_PID"))
    if not asked.isdecimal() or int(asked) == 0 or process not in {"", str(os.getpid())}:
        return None
    pause = partial(time.sleep, int(asked) / 1e6 / _SHARE)
    thread = threading.Thread(target=beat, args=(unwell, pause), name="watchdog-beats", daemon=True)
    thread.start()
    return thread


def beat(unwell: Callable[[], str], pause: Callable[[], None]) -> None:
    """Tell again and again that the process is alive. unwell: why it is not well, "" = it is."""
    while True:
        if not unwell():
            notify(ALIVE)
        pause()
