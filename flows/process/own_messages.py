"""The collector's own messages as events: Devo's collectors send theirs to the table devo.collectors.out.

A handler of the log puts them into a bounded line, without waiting, and a source of the dataflow takes them
from there: they share connections and receipts with all other events. What is too many is left out, and
counted in the next one; so is what delivery says: each message about a delivery would make another one.
Best effort: what waits when a process ends, or while outputs are blocked for long, is in its log only.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from sources import lanes
from transforms.block import Block, Flowing, Origin
from transforms.locks import Guard, guarded
from transforms.telemetry import LOG

STEP, TAG = "collector-messages", "devo.collectors.out"
A_MINUTE = 60
"""Messages that a process sends in a minute."""

_MOST, _LONGEST = 1_000, 8_192
_MINUTE = 60.0
_PAUSE = timedelta(seconds=0.5)
_OF_DELIVERY = frozenset({"credentials_loaded", "key_readable_by_others"})
"""Beside all that names an output."""

_LOCKS = (Guard("_lock", ("_waiting", "_begun", "_told", "_left_out")),)


@guarded(_LOCKS)
class OwnMessages(logging.Handler):
    """Takes what is logged as lines of JSON. Thread-safe; never waits, never raises. name: the collector's.

    The names of the columns are Devo's; that the text is JSON is ours (DECISIONS).
    """

    def __init__(self, name: str, level: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(level)
        self._name, self._clock = name, clock
        self._lock = threading.RLock()
        self._waiting: deque[bytes] = deque(maxlen=_MOST)
        self._begun = clock()
        self._told = self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Put a message into the line, unless it is about delivery, or one too many."""
        fields = record.__dict__.get("fields", {})
        if "output" in fields or record.__dict__.get("event") in _OF_DELIVERY:
            return
        with self._lock:
            now = self._clock()
            if now - self._begun >= _MINUTE:
                self._begun, self._told = now, 0
            self._told += 1
            if self._told > A_MINUTE:
                self._left_out += 1
                return
            self._waiting.append(self._line(record, fields, self._left_out))
            self._left_out = 0

    def take(self) -> list[bytes]:
        """Return what waits."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    def _line(self, record: logging.LogRecord, fields: dict[str, Any], left_out: int) -> bytes:
        text = record.getMessage()[:_LONGEST]
        message = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "collector_name": self._name,
            "input_name": str(fields.get("input", "")),
            "service_name": str(fields.get("service", "")),
            "level2": record.levelname.lower(),
            "msg": f"{text} ({left_out} before it were left out)" if left_out else text,
        }
        return orjson.dumps(message) + b"\n"


def own_messages(name: str, level: str, drain: threading.Event) -> "OwnMessageSource":
    """Begin to send what is logged from `level` on; returns the source for it. name: the collector's.

    drain: set when the process shall end.
    """
    handler = OwnMessages(name, logging.getLevelNamesMapping()[level.upper()])
    LOG.addHandler(handler)
    return OwnMessageSource(handler, drain)


class OwnMessageSource(FixedPartitionedSource[Flowing, None]):
    """Emits this process's messages, from whichever of its lanes is called first; nothing is resumed."""

    def __init__(self, messages: OwnMessages, drain: threading.Event) -> None:
        self._messages, self._drain = messages, drain

    def list_parts(self) -> list[str]:
        """Return the lanes, the same for ever: each process of a cluster has some."""
        return list(lanes.keys())

    def build_part(self, _step_id: str, _for_part: str, _resume_state: None) -> "_OwnMessageLane":
        """Build a lane."""
        return _OwnMessageLane(self._messages, self._drain)


class _OwnMessageLane(StatefulSourcePartition[Flowing, None]):
    def __init__(self, messages: OwnMessages, drain: threading.Event) -> None:
        self._messages, self._drain = messages, drain

    def next_batch(self) -> list[Flowing]:
        """Return what waits as one block, already tagged; the end once the process drains."""
        lines = self._messages.take()
        if self._drain.is_set() and not lines:
            raise StopIteration
        return [Block(b"".join(lines), len(lines), Origin(STEP), tag=TAG)] if lines else []

    def next_awake(self) -> datetime | None:
        """Return a moment soon."""
        return lanes.awake_after(_PAUSE)

    def snapshot(self) -> None:
        """Return nothing that would be gone on from."""
