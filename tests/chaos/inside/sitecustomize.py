"""In a process under test, found through PYTHONPATH: what cannot be planted from outside without root.

    CHAOS_NO_NAME=FILE               localhost is not found while FILE exists
    CHAOS_WARP=K:EPOCH:MONOTONIC     clocks run K times as fast since that moment, waits are as much shorter
    CHAOS_WARP_PARTS=time            only `time.time` and its like, for servers whose timeouts shall stay

Waits that the C library does by itself (a socket's timeout, bytewax's epochs) stay as they are.
"""

import os
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any


def forget_names(switch: Path) -> None:
    """Resolve, or raise what the C library raises when no name server knows the name."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "localhost" and switch.exists():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)

    socket.getaddrinfo = getaddrinfo


def warp_time(factor: float, epoch: float) -> None:
    """Let the calendar run faster."""
    real = time.time
    time.time = lambda: epoch + (real() - epoch) * factor
    time.time_ns = lambda: int(time.time() * 1e9)


def warp_waits(factor: float, origin: float) -> None:
    """Let the monotonic clock run faster, and waits end sooner by as much."""
    monotonic, sleep, wait, poll = time.monotonic, time.sleep, threading.Condition.wait, select.poll

    class Poll:
        def __init__(self) -> None:
            self._poll = poll()
            self.register, self.unregister = self._poll.register, self._poll.unregister
            self.modify = self._poll.modify

        def poll(self, timeout: float | None = None) -> Any:
            return self._poll.poll(timeout if timeout is None or timeout <= 0 else max(timeout / factor, 1))

    def scaled(self: threading.Condition, timeout: float | None = None) -> bool:
        return wait(self, None if timeout is None else timeout / factor)

    time.monotonic = lambda: origin + (monotonic() - origin) * factor
    time.sleep = lambda seconds: sleep(seconds / factor)
    threading.Condition.wait = scaled  # type: ignore[method-assign]
    select.poll = Poll  # type: ignore[assignment,misc]


if switch := os.environ.get("CHAOS_NO_NAME"):
    forget_names(Path(switch))
if warp := os.environ.get("CHAOS_WARP"):
    factor, epoch, origin = map(float, warp.split(":"))
    warp_time(factor, epoch)
    if os.environ.get("CHAOS_WARP_PARTS") != "time":
        warp_waits(factor, origin)
