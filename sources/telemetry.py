"""Named events of the sources: each writes its log line and moves its metric together."""

import logging
from collections.abc import Sequence

from sources.errors import SourceError, Transient
from transforms.block import Block, Item
from transforms.telemetry import counter, say

# cursors


def items_emitted(service: str, items: Sequence[Item]) -> None:
    """Count what the API family handed to the dataflow."""
    if items:
        events = sum(item.count for item in items if isinstance(item, Block))
        counter("source_events", "Events handed to the dataflow", "service").labels(service).inc(events)


def cursors_not_durable(service: str) -> None:
    """Warn that positions live in memory only."""
    say(
        logging.WARNING,
        "cursors_not_durable",
        service=service,
        what="no recovery directory: positions are lost when this process ends",
        hint="start with `flows run`, or give bytewax -r DIR",
    )


def cursors_reset(service: str, before: str, after: str) -> None:
    """Tell that the configuration asked to begin anew."""
    say(
        logging.WARNING,
        "cursors_reset",
        service=service,
        what="start_time changed",
        before=before,
        after=after,
    )


def targets_changed(service: str, new: int, gone: int, total: int) -> None:
    """Tell what a listing of targets found."""
    say(logging.INFO, "targets_changed", service=service, new=new, gone=gone, total=total)


def poll_failed(service: str, target: str, error: SourceError, pause: float, failures: int) -> None:
    """Tell a failed poll: a warning the first time it is more than a hiccup, then quietly."""
    kind = type(error).__name__
    counter("poll_failures", "Polls that failed, by kind", "service", "kind").labels(service, kind).inc()
    loud = failures == (5 if isinstance(error, Transient) else 1)
    say(
        logging.WARNING if loud else logging.DEBUG,
        "poll_failed",
        service=service,
        target=target,
        error=error,
        failures=failures,
        again_in_seconds=round(pause),
    )


def poll_recovered(service: str, target: str) -> None:
    """Tell that a target that failed works again."""
    say(logging.INFO, "poll_recovered", service=service, target=target)


def start_clamped(service: str, target: str, asked: str, used: str, reason: str) -> None:
    """Warn that a position lies before what the API still knows."""
    say(
        logging.WARNING,
        "start_clamped",
        service=service,
        target=target,
        asked=asked,
        used=used,
        reason=reason,
    )
