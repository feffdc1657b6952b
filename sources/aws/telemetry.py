"""Named events of who asks AWS: log line and metric together."""

import logging

from sources import telemetry
from sources.errors import SourceError
from transforms.telemetry import say


def limit_not_shared(name: str, error: SourceError) -> None:
    """Warn that a request limit is kept by this process alone, at a part of the rate."""
    say(logging.WARNING, "limit_not_shared", name=name, error=error)


def clock_ahead(seconds: float) -> None:
    """Warn, once an hour, that this machine's clock is ahead of AWS's: what is new is read later by that."""
    if telemetry.CAUSES.first("clock ahead", ("", "clock")):
        say(logging.WARNING, "clock_ahead", seconds=round(seconds), hint="set this machine's clock, by NTP")
