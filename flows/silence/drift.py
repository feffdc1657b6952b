"""How events of a service look: top-level fields and names of events that are new, or come no more.

Told once a day, counted, kept beside the state. A few blocks a minute are looked into, by a thread: a field
counts as gone when so many events were seen without it that chance is no explanation, for a whole week unless
nearly all had it. Nothing is told of a service's first week, nor of the first thousand events that were
looked into. Text that is no JSON has no fields.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from flows.catalogue.service import Unit
from flows.process import telemetry
from flows.process.runtime import Launch
from flows.silence.learnt import keep, look_each_minute
from transforms.block import Block, Item, Transform

FOLDER = "schema"
_DAY = 86_400
_UNITS_A_LOOK, _SAMPLE_BYTES, _EVENTS = 50, 32 << 10, 50
"""A look takes 1.6 MiB and some 25 ms at most, whatever flows."""

LEARNING_DAYS, LEARNING_EVENTS = 7, 1_000
MOST_FIELDS, MOST_NAMES, _MOST_CHARACTERS = 500, 5_000, 64
"""Of a service; 1 MiB. Further ones are not known, so that nobody fills memory with names that he made up."""

_NEARLY_ALL, _MISSED = 0.9, 50.0
"""So many events should have had a field since it came last: by chance none in e^50."""

_Events = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Field(Struct, array_like=True):
    """count: events that had it since it came. since, last: numbers of events. day: of the last one."""

    count: int
    since: int
    last: int
    day: int

    def gone(self, events: int, day: int) -> bool:
        share = self.count / max(self.last - self.since, 1)
        pause = 1 if share >= _NEARLY_ALL else 7
        return day > self.day + pause and (events - self.last) * share >= _MISSED


class _Schema(Struct, array_like=True):
    """What is known of a service. day: of the first event. told: what changed and is not told yet."""

    day: int
    events: int = 0
    fields: dict[str, _Field] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)

    def take(self, event: dict[str, msgspec.Raw], name: str, day: int) -> None:
        self.events += 1
        known = day - self.day >= LEARNING_DAYS and self.events > LEARNING_EVENTS
        for key in event:
            self._field(key[:_MOST_CHARACTERS], day, known=known)
        if name and name not in self.names and len(self.names) < MOST_NAMES:
            self.names[name] = day
            self._note("event_new", name, known=known)

    def look(self, day: int) -> None:
        for key in [key for key, one in self.fields.items() if one.gone(self.events, day)]:
            del self.fields[key]
            self._note("field_gone", key, known=True)

    def _field(self, key: str, day: int, *, known: bool) -> None:
        found = self.fields.get(key)
        if found is None:
            if len(self.fields) < MOST_FIELDS:
                self.fields[key] = _Field(1, self.events - 1, self.events, day)
                self._note("field_new", key, known=known)
            return
        found.count, found.last, found.day = found.count + 1, self.events, day

    def _note(self, change: str, what: str, *, known: bool) -> None:
        if known:
            self.told.setdefault(change, []).append(what)


class SchemaWatch:
    """Samples what transforms make of blocks. file: where it learns, None = in memory. clock: epoch seconds.

    `_wanted` and `_taken` are changed by workers and by the thread of `run`, each change one operation.
    """

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = file, clock
        self._paths: dict[str, tuple[str, ...]] = {}
        self._wanted: set[str] = set()
        self._taken: list[tuple[str, bytes]] = []
        self._known = _restored(file)
        self._day = self._today()

    def sampling(self, unit: Unit, transform: Transform) -> Transform:
        """Return the same transform; now and then some events that it makes are kept to be looked into."""
        service = unit.service.name
        self._paths[service] = unit.service.event_name
        wanted, taken = self._wanted, self._taken

        def run(block: Block) -> Iterable[Item]:
            for item in transform(block):
                if service in wanted and isinstance(item, Block):
                    wanted.discard(service)
                    taken.append((service, _piece(item.payload)))
                yield item

        return run

    def look(self) -> None:
        """Look into what was taken, ask for more; with a new day tell what has changed."""
        day, taken = self._today(), list(self._taken)
        del self._taken[: len(taken)]
        for service, piece in taken:
            schema = self._known.setdefault(service, _Schema(day))
            for event in _events(piece):
                schema.take(event, _name(event, self._paths.get(service, ())), day)
        services = sorted(self._paths)
        self._wanted |= set(random.sample(services, min(len(services), _UNITS_A_LOOK)))
        if day != self._day:
            self._day = day
            self._tell(day)

    def run(self, drain: threading.Event) -> None:
        """Look each minute until the process drains."""
        look_each_minute(self.look, self.save, drain)

    def save(self) -> None:
        """Keep what is learned."""
        if self._file:
            keep(self._file, self._known)

    def _tell(self, day: int) -> None:
        for service, schema in self._known.items():
            schema.look(day)
            if schema.told:
                telemetry.schema_changed(service, schema.told)
                schema.told = {}
        self.save()

    def _today(self) -> int:
        return int(self._clock() // _DAY)


def begin(started: Launch, drain: threading.Event) -> SchemaWatch:
    """Begin to watch how events look."""
    file = started.recovery / FOLDER / f"{started.process.index}.state" if started.recovery else None
    watch = SchemaWatch(file)
    threading.Thread(target=watch.run, args=(drain,), name="schema", daemon=True).start()
    return watch


def _piece(payload: bytes) -> bytes:
    """Return some whole events from anywhere in a block; what is longer than a piece is left out."""
    start = random.randrange(len(payload)) if len(payload) > _SAMPLE_BYTES else 0  # noqa: S311 - a sample
    start = payload.find(b"\n", start) + 1 if start else 0
    piece = payload[start : start + _SAMPLE_BYTES]
    return piece[: piece.rfind(b"\n") + 1]


def _events(piece: bytes) -> Iterator[dict[str, msgspec.Raw]]:
    for line in piece.splitlines()[:_EVENTS]:
        if line.startswith(b"{"):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield _Events.decode(line)


def _name(event: dict[str, msgspec.Raw], path: tuple[str, ...]) -> str:
    """Return what an event is called, "" = it has no name."""
    found: Any = event.get(path[0]) if path else None
    if found is None:
        return ""
    value = msgspec.json.decode(found)
    for step in path[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    return value[:_MOST_CHARACTERS] if isinstance(value, str) else ""


def _restored(file: Path | None) -> dict[str, _Schema]:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=dict[str, _Schema]) if file else {}
    except (OSError, msgspec.DecodeError):  # none yet, or of another release: how events look is learned anew
        return {}
