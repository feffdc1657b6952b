"""What a running process writes into its journal: rows of the sources, completed by what became of them.

A source knows what it read, a transform what it made of it, the outputs how well it was receipted. Events are
counted by object while they are made; an object's row takes its counts with it when it is written.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from flows.journal.log import JournalLog
from flows.journal.recent import Digests, split
from sources.errors import SourceError
from sources.journal import JournalRow
from transforms.block import Block, Item, Origin, Transform
from transforms.locks import Guard, guarded

MOST_OBJECTS = 100_000
"""Objects whose counts wait for their rows; beyond it the oldest go, and their rows have no tags."""

_Key = tuple[str, str, str, str]
_Queue = tuple[str, str, str]

_LOCKS = (
    Guard("_lock", ("_made", "_filtered", "_tags", "_strengths")),
    Guard("_recalling", ("_recalled",)),
)


@dataclass(slots=True)
class _Made:
    """What a transform made of lines of one origin: events by tag, and poisons."""

    lines: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    poisons: int = 0

    @property
    def events(self) -> int:
        return sum(self.tags.values())

    def add(self, other: "_Made") -> None:
        self.lines += other.lines
        self.poisons += other.poisons
        for tag, events in other.tags.items():
            self.tags[tag] = self.tags.get(tag, 0) + events

    def take(self, lines: int) -> "_Made":
        """Return what was made of so many lines, and leave the rest: it is another row's."""
        if lines >= self.lines:
            whole = _Made(self.lines, self.tags, self.poisons)
            self.lines, self.tags, self.poisons = 0, {}, 0
            return whole
        part = _Made(lines, _taken(self.tags, lines))
        part.poisons = min(self.poisons, lines - part.events)
        self.lines, self.poisons = self.lines - lines, self.poisons - part.poisons
        return part


@guarded(_LOCKS)
class JournalBook:
    """Completes rows and writes them. Thread-safe.

    process: its name in every row. former: returns what former lives had receipts for; asked once.
    own: `s3://…` of the journal itself: a row of its own objects would be announced, and bring a row.
    """

    def __init__(
        self, log: JournalLog, process: str, former: Callable[[], Digests] = dict, own: str = ""
    ) -> None:
        self._own = f"{own.rstrip('/')}/" if own else ""
        self._log, self._process, self._former = log, process, former
        self._recalled: Digests | None = None
        self._recalling = threading.RLock()
        self._lock = threading.RLock()
        self._made: OrderedDict[_Key, _Made] = OrderedDict()
        self._filtered: Counter[_Queue] = Counter()
        self._tags: OrderedDict[_Queue, Counter[str]] = OrderedDict()
        self._strengths: dict[str, str] = {}

    def counted(self, transform: Transform, owner: str = "") -> Transform:
        """Return the same transform; what it makes of each origin's blocks is counted. owner: the input.

        Of blocks that come from no object, tags and what is left out are counted by queue: messages' rows
        share them, so that sums by tag are right, and a single row's tags are not.
        """

        def run(block: Block) -> Iterator[Item]:
            made = dict[str, int]()
            poisons = 0
            for item in transform(block):
                if isinstance(item, Block):
                    made[item.tag] = made.get(item.tag, 0) + item.count
                else:
                    poisons += max(item.body.count(b"\n"), 1)
                yield item
            self._add(_key(owner, block.origin), _Made(block.count, made, poisons))
            if not block.origin.object:
                left = block.count - sum(made.values()) - poisons
                self._share((owner, block.origin.service, block.origin.container), made, left)

        return run

    def hear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Note the strength of an output's last receipt, from the events that are logged."""
        if event == "receipt_taken":
            with self._lock:
                self._strengths[str(fields["output"])] = str(fields["strength"])

    def write(self, rows: Sequence[JournalRow]) -> None:
        """Write rows with counts and receipts. Raises SourceError: the counts then stay for another try."""
        if self._own:
            rows = [row for row in rows if not row.object.startswith(self._own)]
        if not rows:
            return
        incomplete = [row for row in rows if not row.process]
        whole, filtered, windows = self._all_completed(rows)
        try:
            self._log.write(whole)
        except SourceError:
            with self._lock:
                self._filtered += filtered
                for key, made in windows:
                    self._made.setdefault(key, _Made()).add(made)
                for row in whole:
                    if row.kind == "message":
                        self._tags.setdefault(_queue(row), Counter()).update(row.tags)
            raise
        self._forget(incomplete)

    def complete(self, rows: Sequence[JournalRow]) -> Sequence[JournalRow]:
        """Return rows with counts and receipts as they are now; counting begins anew."""
        whole, _, _ = self._all_completed(rows)
        self._forget(rows)
        return whole

    def recent(self, service: str, owner: str) -> Iterable[bytes]:
        """Return digests of the ids that former lives had receipts for last; may take seconds."""
        with self._recalling:
            if self._recalled is None:
                self._recalled = self._former()
            recalled = self._recalled
        return split(recalled.get(service, {}).get(owner, b""))

    def _add(self, key: _Key, made: _Made) -> None:
        with self._lock:
            known = self._made.setdefault(key, made)
            if known is not made:
                known.add(made)
                self._made.move_to_end(key)  # a window's stays: it is not the one that goes first
            elif len(self._made) > MOST_OBJECTS:
                self._made.popitem(last=False)

    def _share(self, queue: _Queue, made: Mapping[str, int], left: int) -> None:
        with self._lock:
            if left > 0:
                self._filtered[queue] += left
            self._tags.setdefault(queue, Counter()).update(made)
            if len(self._tags) > MOST_OBJECTS:
                self._tags.popitem(last=False)

    def _forget(self, rows: Sequence[JournalRow]) -> None:
        """Let go of what rows have taken; a window's own is taken already, the rest is others'."""
        with self._lock:
            for row in rows:
                if row.kind == "window":
                    self._tags.pop(_queue(row), None)
                else:
                    self._made.pop(_key_of_row(row), None)

    def _all_completed(
        self, rows: Sequence[JournalRow]
    ) -> tuple[list[JournalRow], Counter[_Queue], list[tuple[_Key, _Made]]]:
        """Return rows completed, but for those that are; what was left out of messages; what windows took."""
        filtered: Counter[_Queue] = Counter()
        windows = list[tuple[_Key, _Made]]()
        whole = []
        with self._lock:
            outputs = tuple(f"{name}:{strength}" for name, strength in sorted(self._strengths.items()))
            for row in rows:
                if row.process:
                    whole.append(row)
                elif row.kind == "message":
                    whole.append(self._message(row, outputs, filtered))
                else:
                    key = _key_of_row(row)
                    made = self._made.get(key)
                    if made and row.kind == "window":  # targets of one region and group share their events
                        made = made.take(row.records - row.quarantined)
                        windows.append((key, made))
                    nothing = made and row.resumed and not made.lines  # it was made in a former life
                    whole.append(self._completed(row, outputs, None if nothing else made))
            self._filtered -= filtered
        return whole, filtered, windows

    def _message(self, row: JournalRow, outputs: tuple[str, ...], taken: Counter[_Queue]) -> JournalRow:
        queue = _queue(row)
        filtered = min(self._filtered[queue] - taken[queue], row.events)
        taken[queue] += filtered
        row = replace(row, tags=_taken(self._tags.get(queue, Counter()), row.events - filtered))
        return self._settled(row, row.events - filtered, filtered, outputs)

    def _completed(self, row: JournalRow, outputs: tuple[str, ...], made: _Made | None) -> JournalRow:
        events = row.events if made is None else made.events
        poisons = row.quarantined + (made.poisons if made else 0)
        filtered = 0 if row.resumed else max(row.records - events - poisons, 0)
        row = replace(row, tags=dict(made.tags) if made else {}, quarantined=poisons)
        return self._settled(row, events, filtered, outputs)

    def _settled(self, row: JournalRow, events: int, filtered: int, outputs: tuple[str, ...]) -> JournalRow:
        nothing = filtered and not (events or row.quarantined)
        return replace(
            row,
            outcome="filtered" if nothing else row.outcome,
            events=events,
            filtered=filtered,
            outputs=outputs if events else (),
            process=self._process,
        )


def _queue(row: JournalRow) -> _Queue:
    return row.input, row.service, row.container


def _taken(tags: dict[str, int], count: int) -> dict[str, int]:
    """Take so many events away from what was counted by tag; returns them by tag."""
    found: dict[str, int] = {}
    for tag in list(tags):
        found[tag] = min(tags[tag], count)
        count -= found[tag]
        tags[tag] -= found[tag]
        if not tags[tag]:
            del tags[tag]
    return {tag: events for tag, events in found.items() if events}


def _key(owner: str, origin: Origin) -> _Key:
    place = origin.object or f"{origin.account} {origin.region} {origin.container}"
    return owner, origin.service, place, origin.version if origin.object else ""


def _key_of_row(row: JournalRow) -> _Key:
    if row.kind == "object":
        return row.input, row.service, row.object, row.version or row.etag
    return row.input, row.service, f"{row.account} {row.region} {row.container}", ""
