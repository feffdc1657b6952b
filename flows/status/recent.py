"""The last warnings and errors of the log: what is said again and again is one line with a count."""

import logging
from collections import deque

from msgspec import Struct

_MOST, _NEAR = 200, 10
_TOLD = frozenset({"configuration_reloaded", "reload_begun", "draining", "heard_again", "identity_renewed"})
"""Of the events that are no warnings."""


class Line(Struct):
    """A line of the log. at: epoch seconds, of the last one. count: how often it came."""

    at: float
    level: str
    event: str
    text: str
    about: tuple[str, ...]
    count: int = 1


class Recent(logging.Handler):
    """Keeps the last warnings and errors that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[Line] = deque(maxlen=_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, or count it to one of the last ones about the same."""
        event = str(record.__dict__.get("event", record.getMessage()))
        if record.levelno < logging.WARNING and event not in _TOLD:
            return
        fields = record.__dict__.get("fields", {})
        about = (event, *(str(fields.get(name, "")) for name in ("service", "output", "input", "where")))
        text = record.getMessage().removeprefix(event).strip()
        for line in list(self.lines)[-_NEAR:]:
            if line.about == about:
                self.lines.remove(line)
                line.at, line.text, line.count = record.created, text, line.count + 1
                self.lines.append(line)
                return
        self.lines.append(Line(record.created, record.levelname.lower(), event, text, about))
