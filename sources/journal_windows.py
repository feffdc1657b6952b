"""From pages of an API to rows: how far each target has been read, and what that brought.

A row covers a stretch of time without gap to the target's last row. One is made at the end of an epoch whose
pages brought a stretch to its end; of a stretch without events only once an hour, since quiet targets are
asked every few minutes, and then together with those of others: each write takes a page of the disk. A row's
events are those that were emitted since the target's last row. A target that ends within a stretch has a row
up to where it was read, which may be no further than it began.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from sources.journal import JournalRow
from transforms.block import Block, Item

QUIET_MS = 3_600_000
_TOGETHER_SECONDS = 300


class WindowPlace(Struct, frozen=True, array_like=True):
    """Where a target's events are from; as their origin says, so that they can be counted."""

    account: str = ""
    region: str = ""
    container: str = ""


class OpenWindow(Struct, array_like=True):
    """A stretch of a target that has no row yet, epoch ms. resumed: it was begun in a former life."""

    start: int
    end: int = 0
    records: int = 0
    poisons: int = 0
    first: int = 0
    last: int = 0
    place: WindowPlace = WindowPlace()
    resumed: bool = False


class WindowRows:
    """The open stretches of one lane. state: what its last snapshot had of them. clock: epoch seconds."""

    def __init__(
        self, service: str, state: Mapping[str, Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._service, self._clock = service, clock
        self._together = 0
        try:
            self._open = msgspec.convert(state.get("open", {}), dict[str, OpenWindow])
        except msgspec.ValidationError:
            self._open = {}  # of another release: the next row begins where the position is
        for one in self._open.values():
            one.resumed = one.records > 0
        self._touched: set[str] = set()
        self._left: list[JournalRow] = []

    def note(self, key: str, reach: tuple[int, int], items: Sequence[Item], moments: Sequence[int]) -> None:
        """Note a page. reach: where the target stood, and stands now. moments: of events, as far as known."""
        begun, upto = reach
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = OpenWindow(begun, begun)
        found.end = max(found.end, upto)
        for item in items:
            origin = item.origin
            found.place = WindowPlace(origin.account, origin.region, origin.container)
            found.records += item.count if isinstance(item, Block) else 1
            found.poisons += not isinstance(item, Block)
        if moments:
            found.first = min(found.first or min(moments), *moments)
            found.last = max(found.last, *moments)
        self._touched.add(key)

    def rows(self) -> list[JournalRow]:
        """Return the rows that are due at the end of an epoch."""
        touched, self._touched = self._touched, set()
        made, self._left = self._left, []
        together = int(self._clock()) // _TOGETHER_SECONDS
        for key in sorted(touched & self._open.keys()):
            found = self._open[key]
            if found.end <= found.start or not (found.records or found.end - found.start >= QUIET_MS):
                continue
            if found.records or together != self._together:
                made.append(self._row(key, found))
                self._open[key] = OpenWindow(found.end, found.end, place=found.place)
            else:
                self._touched.add(key)
        self._together = together
        return made

    def forget(self, key: str) -> None:
        """Let go of a target: its events are receipted, and have a row though nobody reads its stretch on."""
        found = self._open.pop(key, None)
        if found and found.records:
            self._left.append(self._row(key, found))

    def ended(self, targets: Collection[str]) -> list[JournalRow]:
        """Let go of all but these targets, before anything is noted; return the rows of the others."""
        for key in sorted(self._open.keys() - set(targets)):
            self.forget(key)
        return self.rows()

    def state(self) -> Mapping[str, Any]:
        """Return what the state has to hold, plain data."""
        return {"open": msgspec.to_builtins(self._open)} if self._open else {}

    def _row(self, key: str, found: OpenWindow) -> JournalRow:
        region = found.place.region or key.partition("/")[0]
        return JournalRow(
            time=0,
            kind="window",
            outcome="quarantined" if 0 < found.records == found.poisons else "delivered",
            service=self._service,
            account=found.place.account,
            region=region,
            container=found.place.container,
            object=key,
            records=found.records,
            events=found.records - found.poisons,
            quarantined=found.poisons,
            first=found.first,
            last=found.last,
            start=found.start,
            end=found.end,
            resumed=found.resumed,
        )
