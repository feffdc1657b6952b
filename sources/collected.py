"""What was collected of APIs, by id, on disk: what a second look at a finished range compares with.

    FOLDER/<hash of a target>/range.json         from when on, and up to where, its ids are here
    FOLDER/<hash of a target>/2026-01-31.ids     a line for each id of events of that day: epoch ms, tab, id

A range that goes on without ids is written four times a day: the process that reads it knows its end, others
one up to six hours older. A day's file is removed when its events are nine days old, and takes no more than
256 MiB: then that day cannot be looked at again, and says so.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from sources.errors import SourceError

KEPT_DAYS = 9
_MOST_BYTES = 256 << 20
_DAY = 86_400_000
_QUIET_MS = 6 * 3_600_000
_RANGE = "range.json"
_BUFFER = 1 << 16

RANGES_KEPT = 4
"""How many ranges a lane writes in a snapshot. Each takes a dozen calls of the file system, each of which
gives Python's lock away: with busy threads beside it 10 ms, and an organization has thousands of targets."""


class CollectedRange(Struct, frozen=True):
    """Epoch ms: from when on ids are kept, and before when nothing is expected any more."""

    start: int
    final: int


class CollectedIds:
    """The ids of one service in a folder; thread-safe, and several processes may append."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._written: dict[str, CollectedRange] = {}
        self._quiet: dict[str, int] = {}

    def note(self, target: str, ids: Mapping[str, int], found: CollectedRange) -> None:
        """Keep ids (→ epoch ms) of a target, and how far it has come.

        Raises SourceError when that cannot be written: the target then begins anew, a gap would look like
        events that came later.
        """
        folder = self._of(target)
        with self._lock, self._told(target):
            before = self._written.get(target) or self._range(folder)
            if not ids and before and 0 <= found.final - before.final < _QUIET_MS:
                self._written[target], self._quiet[target] = before, found.final
                return
            self._quiet.pop(target, None)
            if before is None or before.final // _DAY != found.final // _DAY:
                folder.mkdir(parents=True, exist_ok=True)
                self._forget(folder, found.final - KEPT_DAYS * _DAY)
            self._append(folder, ids)
            kept = CollectedRange(before.start if before else found.start, found.final)
            aside = folder / f"{_RANGE}.new"
            aside.write_text(json.dumps({"target": target, "start": kept.start, "final": kept.final}))
            aside.replace(folder / _RANGE)
            self._written[target] = kept

    def add(self, target: str, ids: Mapping[str, int]) -> None:
        """Keep more ids of a target."""
        with self._lock, self._told(target):
            self._append(self._of(target), ids)

    def range(self, target: str) -> CollectedRange | None:
        """Return what is known of a target; None when nothing is."""
        found = self._range(self._of(target))
        return found and CollectedRange(found.start, max(found.final, self._quiet.get(target, 0)))

    def known(self, target: str, start: int, end: int) -> dict[str, int]:
        """Return the ids of events from `start` to before `end`, each with its latest time.

        Raises SourceError when not all of them can be here.
        """
        if lack := self.lack(target, start, end):
            raise SourceError(lack, f"{target} in {self._folder}", "look at a later range")
        ids: dict[str, int] = {}
        for path in self._days(target, start, end):
            for ms, key in _lines(path):
                if start <= ms < end:
                    ids[key] = max(ms, ids.get(key, 0))
        return ids

    def lack(self, target: str, start: int, end: int) -> str:
        """Return why not all ids of a time can be here, and never will be; "" when they are."""
        found = self.range(target)
        if found is None or start < max(found.start, found.final - KEPT_DAYS * _DAY):
            since = f"only since {_iso(found.start)}" if found else "at no time"
            return f"what was collected is known {since}"
        full = [path.name for path in self._days(target, start, end) if path.stat().st_size >= _MOST_BYTES]
        return f"more was collected than is kept ({full[0]})" if full else ""

    def _days(self, target: str, start: int, end: int) -> list[Path]:
        days = range(start // _DAY, -(-end // _DAY))
        paths = [self._of(target) / f"{_date(day * _DAY)}.ids" for day in days]
        return [path for path in paths if path.exists()]

    def _of(self, target: str) -> Path:
        return self._folder / blake2b(target.encode(errors="surrogatepass"), digest_size=12).hexdigest()

    def _range(self, folder: Path) -> CollectedRange | None:
        try:
            told = json.loads((folder / _RANGE).read_text())
            return CollectedRange(told["start"], told["final"])
        except (OSError, ValueError, KeyError):
            return None

    def _append(self, folder: Path, ids: Mapping[str, int]) -> None:
        days: dict[str, list[str]] = {}
        for key, ms in ids.items():
            days.setdefault(_date(ms), []).append(f"{ms}\t{key}\n")
        for day, lines in days.items():
            with _appending(folder / f"{day}.ids") as file:
                if file.tell() < _MOST_BYTES:
                    file.write("".join(lines).encode(errors="surrogatepass"))

    def _forget(self, folder: Path, before: int) -> None:
        for path in folder.glob("*.ids"):
            if path.stem < _date(before):
                path.unlink(missing_ok=True)

    @contextmanager
    def _told(self, target: str) -> Iterator[None]:
        """Raise SourceError for what the file system refuses, and forget how far the target has come."""
        try:
            yield
        except OSError as error:
            folder = self._of(target)
            self._written.pop(target, None)
            with suppress(OSError):
                (folder / _RANGE).unlink(missing_ok=True)
            hint = "make room, or let the collector write there"
            raise SourceError(f"ids cannot be kept ({error.strerror})", str(folder), hint) from error


class CollectedNotes:
    """What a lane has yet to keep: ids go with the snapshot of their epoch, ranges follow a few at a time.

    At most one range a target waits. A crash loses those: a target's ids then begin at the next start.
    """

    def __init__(self, ids: CollectedIds) -> None:
        self._ids = ids
        self._noted: list[tuple[str, Mapping[str, int], CollectedRange | None]] = []
        self._ranges: dict[str, CollectedRange] = {}

    def add(self, target: str, ids: Mapping[str, int], found: CollectedRange | None) -> None:
        """Take the ids of a page that was emitted, and how far its target is then; None = a second look's."""
        self._noted.append((target, ids, found))

    def keep(self) -> SourceError | None:
        """Write all ids and the oldest ranges; return what could not be written."""
        noted, self._noted, failed = self._noted, [], None
        for target, ids, found in noted:
            try:
                if ids:
                    self._ids.add(target, ids)
            except SourceError as error:
                failed = error
                self._ranges.pop(target, None)
            else:
                if found:
                    first = self._ranges.get(target, found)
                    self._ranges[target] = CollectedRange(first.start, found.final)
        for target in list(islice(self._ranges, RANGES_KEPT)):
            try:
                self._ids.note(target, {}, self._ranges.pop(target))
            except SourceError as error:
                failed = error
        return failed


def _appending(path: Path) -> BinaryIO:
    """Open a file at its end, with as few calls as there can be."""
    try:
        return path.open("ab", buffering=_BUFFER)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab", buffering=_BUFFER)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        for line in file:
            ms, tab, key = line.rstrip("\n").partition("\t")
            if tab and ms.lstrip("-").isdigit():  # a line that a crash has cut is none
                yield int(ms), key


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
