"""Named events: one call writes the log line and moves the metric, so the two cannot disagree.

Each layer has its own module of named events (`sources/telemetry.py`, `sinks/telemetry.py`); they share
what is here. Labels are bounded: services, outputs and reasons, never object keys.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge

from transforms.errors import CollectorError
from transforms.locks import Guard, guarded

LOG = logging.getLogger("collector")

Listener: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Is called with each named event and its fields, whatever the log level, in the thread that tells it."""

_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """Let `listener` hear every named event from now on; it must be quick and must not raise."""
    _LISTENERS.append(listener)


def unlisten(listener: Listener) -> None:
    """Let `listener` hear no more."""
    _LISTENERS.remove(listener)


def notify(event: str, /, **fields: object) -> None:
    """Tell listeners alone: for what is said elsewhere, or happens too often to be said."""
    for listener in _LISTENERS:
        listener(event, fields)


_COUNTERS: dict[str, Counter] = {}
_GAUGES: dict[str, Gauge] = {}
_MAKING = threading.Lock()
_Metric = TypeVar("_Metric", Counter, Gauge)


def counter(name: str, help_text: str, *labels: str) -> Counter:
    """Return the counter `collector_<name>_total`, made on first use."""
    return _COUNTERS.get(name) or _made(Counter, _COUNTERS, name, help_text, labels)


def gauge(name: str, help_text: str, *labels: str) -> Gauge:
    """Return the gauge `collector_<name>`, made on first use."""
    return _GAUGES.get(name) or _made(Gauge, _GAUGES, name, help_text, labels)


def _made(
    kind: type[_Metric], known: dict[str, _Metric], name: str, help_text: str, labels: tuple[str, ...]
) -> _Metric:
    """Make a metric once: threads that meet here at its first use would register it twice, which raises."""
    with _MAKING:
        found = known.get(name)
        if found is None:
            found = known[name] = kind(f"collector_{name}", help_text, labels)
        return found


def add(name: str, help_text: str, amount: float = 1, /, **labels: str) -> None:
    """Add to the counter `collector_<name>_total` with these labels, in this order."""
    _series(name, help_text, tuple(labels), tuple(labels.values())).inc(amount)


@cache
def _series(name: str, help_text: str, labels: tuple[str, ...], values: tuple[str, ...]) -> Counter:
    """Return one series of a counter: prometheus_client's look-up costs more than framing a small block."""
    return counter(name, help_text, *labels).labels(*values)


def total(name: str, /, **labels: str) -> int:
    """Return what `collector_<name>_total` has come to, all series with these labels together."""
    sample = f"collector_{name}_total"
    found = (one for metric in REGISTRY.restricted_registry([sample]).collect() for one in metric.samples)
    return int(sum(one.value for one in found if one.name == sample and labels.items() <= one.labels.items()))


def printable(value: object) -> str:
    """Return a value's text for one line of a log: keys, headers and bodies may hold anything.

    Line breaks, escape sequences, direction marks, lone surrogates are escaped; letters of any script stay.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def _shown(value: object) -> object:
    """Return a field as lines show it: numbers as they are, everything else as printable text."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {printable(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    return printable(value)


_LINES_LOCKS = (Guard("_lock", ("_since", "_told")),)


@guarded(_LINES_LOCKS)
class _Lines:
    """How many warnings of one event and service were logged in a minute. Bounded by the words there are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._since: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], int] = {}

    def left_out(self, event: str, service: str) -> int | None:
        """Count one; return how many were left out before it, None = leave it out, too."""
        key, now = (event, service), time.monotonic()
        with self._lock:
            told = self._told.get(key, 0)
            if now - self._since.get(key, -_MINUTE) >= _MINUTE:
                self._since[key], self._told[key] = now, 1
                return max(told - LINES_A_MINUTE, 0)
            self._told[key] = told + 1
            return 0 if told < LINES_A_MINUTE else None


LINES_A_MINUTE = 100
"""Warnings of one event and service a minute: whoever can write to a queue causes them without end."""

_MINUTE = 60.0
_LINES = _Lines()


def say(level: int, event: str, /, **fields: object) -> None:
    """Log one named event with its fields, e.g. `object_collected service=flowlogs events=120`.

    An error among them adds its code. Of warnings that come in masses some are left out, and counted in the
    next one that is told.
    """
    code = next((one.code() for one in fields.values() if isinstance(one, CollectorError)), "")
    fields |= {"code": code} if code else {}
    notify(event, **fields)
    if level == logging.WARNING:
        left_out = _LINES.left_out(event, str(fields.get("service", "")))
        level = logging.DEBUG if left_out is None else level
        fields |= {"left_out": left_out} if left_out else {}
    if LOG.isEnabledFor(level):
        shown = {name: _shown(value) for name, value in fields.items()}
        text = "".join(f" {name}={value}" for name, value in shown.items())
        LOG.log(level, "%s%s", event, text, extra={"event": event, "fields": shown})
