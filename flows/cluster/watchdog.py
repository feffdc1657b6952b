"""Ends a process that cannot go on and would not say so: no epoch is closed, or the clock has stepped back.

bytewax waits for a peer for ever, and compares times of the wall clock: set back by ten minutes, it would
call nothing for ten minutes, and hear no signal. What has no receipt is not acknowledged, so a hard end loses
nothing; a supervisor starts the process anew.

And a process of a cluster that alone was told to end, which bytewax would keep until the others end, too.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from flows.cluster.mesh import Mesh
from flows.process import telemetry
from flows.status.liveness import Liveness
from transforms.telemetry import listen

INTERVALS, _LEAST_SECONDS, _SURE_SECONDS = 20, 20.0, 120.0
"""An epoch that takes so long is closed no more: the first two where a peer is silent, which explains it;
else for the third no call of ours has begun or ended either. A machine that lacks CPU makes few, but some."""

_SLOW = 10
"""However many calls there are, an epoch takes no more than so many times as long."""

_LOOK_SECONDS = 0.5
_TOLD_SECONDS = 5.0
"""How long `/healthz` says it before the process ends."""

_TROUBLE = frozenset({"delivery_waited", "delivery_retried", "delivery_refused", "output_blocked"})
_TROUBLED_SECONDS = 45.0
"""An output that waits or tries again tells so at least so often: the longest pause is 30 s."""

_STEP_SECONDS = 2.0
"""A clock that is set back by less makes the dataflow wait for no longer."""


class ClockWatch(Struct):
    """Compares the wall clock with one that is never set. ahead: how much it was so at the last look."""

    ahead: float

    def stepped_back(self, wall: float, monotonic: float) -> float:
        """Return by how many seconds the wall clock was set back since the last look, 0 for a little."""
        before, self.ahead = self.ahead, wall - monotonic
        return before - self.ahead if before - self.ahead > _STEP_SECONDS else 0.0


class EpochWatch:
    """Looks for a dataflow in which no epoch is closed any more. interval: of an epoch, in seconds.

    drain: set when the process shall end; from then on its end is the drain's matter.
    """

    def __init__(
        self,
        interval: float,
        liveness: Liveness,
        mesh: Mesh | None,
        drain: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max(INTERVALS * interval, _LEAST_SECONDS)
        self._sure = max(self._most, _SURE_SECONDS)
        self._liveness, self._mesh, self._drain, self._clock = liveness, mesh, drain, clock
        self._troubled_at = -_TROUBLED_SECONDS
        self.cause = ""

    def hear(self, event: str, _fields: Mapping[str, Any]) -> None:
        """Note that an output waits, or tries again: then epochs may take as long as they must."""
        if event in _TROUBLE:
            self._troubled_at = self._clock()

    def report(self) -> dict[str, Any]:
        """Return what the peers are to know: whether an epoch may stay open for our sake, and if we end."""
        return {"well": self._well(), "draining": self._drain.is_set()}

    @property
    def drained_alone(self) -> bool:
        """Tell that this process has ended its part while others go on: they will begin again without it."""
        others = [link.state.get("draining", False) for link in self._mesh.links] if self._mesh else []
        return self._drain.is_set() and self._liveness.drained and not all(others)

    def look(self) -> str:
        """Return why the process cannot go on, "" = it can, or that cannot be said."""
        still = 0.0 if self._drain.is_set() else self._still()
        peers = self._mesh.links if self._mesh else []
        silent = [str(link) for link in peers if not self._reachable(link.heard)]
        hangs = still >= self._most if silent else self._hangs(still)
        if not hangs or not self._well() or not (peers or self._liveness.alone):
            self.cause = ""
        elif any(self._reachable(link.heard) and not link.state.get("well", True) for link in peers):
            self.cause = ""  # another one's output is down: everybody waits for it
        else:
            who = f"; nothing comes from {' and '.join(silent)}" if silent else ""
            inside = self._liveness.inside()
            where = f"; this process is in {inside}" if inside else ""
            self.cause = f"no epoch was closed for {still:.0f} s though the outputs are well{who}{where}"
        return self.cause

    def _still(self) -> float:
        return self._clock() - self._liveness.turned_at if self._liveness.begun else 0.0

    def _hangs(self, still: float) -> bool:
        """Tell whether it is more than slow: its calls stand still as well, or it has been far too long."""
        quiet = self._clock() - self._liveness.seen_at
        return still >= _SLOW * self._sure or (still >= self._sure and quiet >= self._sure)

    def _well(self) -> bool:
        troubled = self._clock() - self._troubled_at < _TROUBLED_SECONDS
        return not troubled and not self._liveness.delivering()

    def _reachable(self, heard: float) -> bool:
        return time.monotonic() - heard < self._most / 2


def watch_clock(end: Callable[[str], None]) -> None:
    """End the process when the wall clock is set back, from a thread that lives as long as the process."""
    clock = ClockWatch(time.time() - time.monotonic())
    while True:
        time.sleep(_LOOK_SECONDS)
        if back := clock.stepped_back(time.time(), time.monotonic()):
            end(f"the clock of this machine was set back by {back:.0f} s")


def watch_epochs(watch: EpochWatch, end: Callable[[str], None]) -> None:
    """End the process when no epoch is closed any more, some seconds after `/healthz` tells so."""
    since = 0.0
    while True:
        time.sleep(_LOOK_SECONDS)
        cause, now = watch.look(), time.monotonic()
        since = (since or now) if cause else 0.0
        if cause and now - since >= _TOLD_SECONDS:
            end(cause)


def watch_drain(watch: EpochWatch, drain: threading.Event, interval: float, done: threading.Event) -> None:
    """Set `done` when this process has drained alone, its last snapshot included."""
    drain.wait()
    while not watch.drained_alone:
        time.sleep(_LOOK_SECONDS)
    time.sleep(min(2 * interval, _TOLD_SECONDS))
    done.set()


def begin(
    interval: float, liveness: Liveness, mesh: Mesh | None, drain: threading.Event, done: threading.Event
) -> EpochWatch:
    """Start all watches. done: see `watch_drain`."""
    watch = EpochWatch(interval, liveness, mesh, drain)
    liveness.also(lambda: watch.cause)
    listen(watch.hear)
    if mesh:
        mesh.report = watch.report
    for name, job in (
        ("clock-watch", lambda: watch_clock(end)),
        ("epoch-watch", lambda: watch_epochs(watch, end)),
        ("drain-watch", lambda: watch_drain(watch, drain, interval, done)),
    ):
        threading.Thread(target=job, name=name, daemon=True).start()
    return watch


def end(cause: str) -> None:
    """End the process, told."""
    telemetry.process_ended(cause)
    os._exit(1)
