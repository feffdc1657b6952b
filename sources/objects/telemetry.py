"""Named events of S3 objects: log line and metric together."""

import logging

from sources.errors import SourceError
from transforms.telemetry import add, say


def object_collected(service: str, uri: str, events: int, size: int, seconds: float) -> None:
    """Count an object whose events all wait for the dataflow or went through it."""
    add("objects_collected", "Objects read to their end", service=service)
    add("object_bytes", "Stored bytes of the objects read", size, service=service)
    say(
        logging.DEBUG,
        "object_collected",
        service=service,
        object=uri,
        events=events,
        bytes=size,
        seconds=round(seconds, 3),
    )


def object_missing(service: str, error: SourceError) -> None:
    """Warn that an object was gone before it could be read; its message is settled."""
    add("objects_missing", "Objects gone before they were read", service=service)
    say(logging.WARNING, "object_missing", service=service, error=error)


def object_unreadable(service: str, reason: str, error: SourceError) -> None:
    """Warn that an object goes to quarantine, all or its rest."""
    say(logging.WARNING, "object_unreadable", service=service, reason=reason, error=error)
