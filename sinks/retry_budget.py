"""How long an output may fail: back-off between attempts, a limit, a shorter one while the process drains."""

import random
import threading
import time
from collections.abc import Callable

from msgspec import Struct, field

from sinks import telemetry
from sinks.errors import CertificateRejected, Interrupted, OutageTooLong, Refused

_JITTER = random.SystemRandom()  # leaves the shared generator to those who seed it

BACKOFF_SECONDS = (0.2, 30.0)
"""Longest first pause, longest pause of all; each pause is a random part of its longest (full jitter)."""

WAIT_AT_MOST_SECONDS = 300.0
"""Longest that a receiver's own wish (`Retry-After`) is honoured for."""

BLOCKED_AFTER = 3
"""An output that failed so often in a row is said to be blocked."""


class RetryLimits(Struct, frozen=True):
    """Units: seconds. outage: since the first failure after a receipt. drain_grace: while it drains."""

    outage: float
    drain_grace: float


class Clock(Struct):
    """Time as an output sees it; tests bring their own. pause: sleep, but wake when the drain begins."""

    drain: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], float] = time.monotonic
    part: Callable[[], float] = _JITTER.random

    def pause(self, seconds: float) -> None:
        """Wait; a drain that begins meanwhile ends the wait."""
        (threading.Event() if self.drain.is_set() else self.drain).wait(seconds)


class RetryBudget:
    """The failures of one output since its last receipt."""

    def __init__(self, output: str, limits: RetryLimits, clock: Clock) -> None:
        self._output, self._limits, self._clock = output, limits, clock
        self._since: float | None = None
        self._drain_seen: float | None = None
        self._failures = 0
        self._refused = False

    @property
    def draining(self) -> bool:
        """Whether the process drains."""
        return self._clock.drain.is_set()

    def failed(self, error: Interrupted, events: int) -> None:
        """Pause before the next attempt to send `events` again. Raises OutageTooLong.

        What the receiver asks for (`error.wait`) comes first, the random part of the back-off on top of it.
        """
        now = self._clock.now()
        self._since = now if self._since is None else self._since
        left = self._deadline(now) - now
        if left <= 0:
            raise self._too_long(now, error) from error
        first, most = BACKOFF_SECONDS
        jitter = min(first * 2 ** min(self._failures, 16), most, left) * self._clock.part()
        pause = min(min(error.wait, WAIT_AT_MOST_SECONDS) + jitter, left)
        self._failures += 1
        self._tell(error, pause, events)
        if self._failures == BLOCKED_AFTER:
            telemetry.output_blocked(self._output, blocked=True)
        self._clock.pause(pause)

    def tick(self) -> None:
        """Give up waiting for a stalled receiver once the process drains. Raises OutageTooLong."""
        telemetry.delivery_waited(self._output)
        if self.draining:
            now = self._clock.now()
            if now >= self._deadline(now):
                raise self._too_long(now, None)

    def delivered(self) -> None:
        """Forget all failures: a receipt was taken."""
        if self._failures >= BLOCKED_AFTER:
            telemetry.output_blocked(self._output, blocked=False)
        self._since, self._drain_seen, self._failures, self._refused = None, None, 0, False

    def _tell(self, error: Interrupted, pause: float, events: int) -> None:
        """Log a failure; a refusal once: nothing changes until a person has read it."""
        refused = isinstance(error, CertificateRejected | Refused)
        if refused and not self._refused:
            telemetry.delivery_refused(self._output, error, events)
        self._refused = self._refused or refused
        telemetry.delivery_retried(self._output, error, pause, events, quiet=refused)

    def _deadline(self, now: float) -> float:
        limit = float("inf") if self._since is None else self._since + self._limits.outage
        if not self.draining:
            return limit
        self._drain_seen = now if self._drain_seen is None else self._drain_seen
        return min(limit, self._drain_seen + self._limits.drain_grace)

    def _too_long(self, now: float, error: Interrupted | None) -> OutageTooLong:
        since = self._since if self._since is not None else self._drain_seen
        seconds = now - (now if since is None else since)
        cause = f" ({error.what})" if error else ""
        where = f"output {self._output}" + (f" at {error.where}" if error else "")
        hint = error.hint if error else "the receiver has stopped reading"
        return OutageTooLong(
            f"nothing could be delivered for {seconds:.0f} s{cause}",
            where,
            f"{hint}; nothing was acknowledged",
        )
