"""Named events of what services make of what they read: log line and metric together."""

import logging
import threading

from transforms.telemetry import add, printable, say

_MOST, _LONGEST, _OTHERS = 100, 64, "others"
_LOCK = threading.Lock()
_TOLD: set[str] = set()
"""Names that are labels: at most 100, since whoever writes objects may make names up."""


def table_missing(service: str, event_source: str, count: int) -> None:
    """Count events that went to `events`, since their eventSource has no table; tell each name once."""
    name = printable(event_source)[:_LONGEST]
    with _LOCK:
        new = name not in _TOLD and len(_TOLD) < _MOST
        if new:
            _TOLD.add(name)
        label = name if name in _TOLD else _OTHERS
    text = "CloudTrail events in the table `events`, as their eventSource has no table"
    add("cloudtrail_table_missing", text, count, service=service, event_source=label)
    if new:
        say(
            logging.INFO,
            "table_missing",
            service=service,
            event_source=name,
            hint="if Devo has a table for it, name it in globals.tables.cloudtrail",
        )
