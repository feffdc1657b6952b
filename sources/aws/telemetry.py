"""Named events of who asks AWS: log line and metric together."""

import logging

from sources.errors import SourceError
from transforms.telemetry import say


def limit_not_shared(name: str, error: SourceError) -> None:
    """Warn that a request limit is kept by this process alone, at a part of the rate."""
    say(logging.WARNING, "limit_not_shared", name=name, error=error)
