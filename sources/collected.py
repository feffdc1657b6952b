"""What was collected of APIs, by id, on disk: what a second look at a finished range compares with.

    FOLDER/<hash of a target>/range.json         from when on, and up to where, its ids are here
    FOLDER/<hash of a target>/2026-01-31.ids     a line for each id of events of that day: epoch ms, tab, id

A day's file is removed when its events are nine days old, and takes no more than 256 MiB: then that day
cannot be looked at again, and says so.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from sources.errors import SourceError

KEPT_DAYS = 9
_MOST_BYTES = 256 << 20
_DAY = 86_400_000
_RANGE = "range.json"


class CollectedRange(Struct, frozen=True):
    """Epoch ms: from when on ids are kept, and before when nothing is expected any more."""

    start: int
    final: int


class CollectedIds:
    """The ids of one service in a folder; thread-safe, and several processes may append."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def note(self, target: str, ids: Mapping[str, int], found: CollectedRange) -> None:
        """Keep ids (→ epoch ms) of a target, and how far it has come.

        Raises SourceError when that cannot be written: the target then begins anew, a gap would look like
        events that came later.
        """
        folder = self._of(target)
        with self._lock, _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = self._range(folder)
            if before is None or before.final // _DAY != found.final // _DAY:
                self._forget(folder, found.final - KEPT_DAYS * _DAY)
            start = before.start if before else found.start
            aside = folder / f"{_RANGE}.new"
            aside.write_text(json.dumps({"target": target, "start": start, "final": found.final}))
            aside.replace(folder / _RANGE)
            self._append(folder, ids)

    def add(self, target: str, ids: Mapping[str, int]) -> None:
        """Keep more ids of a target."""
        folder = self._of(target)
        with self._lock, _told(folder):
            self._append(folder, ids)

    def range(self, target: str) -> CollectedRange | None:
        """Return what is known of a target; None when nothing is."""
        return self._range(self._of(target))

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
            path = folder / f"{day}.ids"
            if not path.exists() or path.stat().st_size < _MOST_BYTES:
                with path.open("a", encoding="utf-8", errors="surrogatepass") as file:
                    file.write("".join(lines))

    def _forget(self, folder: Path, before: int) -> None:
        for path in folder.glob("*.ids"):
            if path.stem < _date(before):
                path.unlink(missing_ok=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Raise SourceError for what the file system refuses, and forget how far the target has come."""
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            (folder / _RANGE).unlink(missing_ok=True)
        hint = "make room, or let the collector write there"
        raise SourceError(f"ids cannot be kept ({error.strerror})", str(folder), hint) from error


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
