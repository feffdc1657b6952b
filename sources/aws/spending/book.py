"""What was asked of AWS, month by month (UTC): a line for each service and action, rewritten in place.

A line is a JSON array of fixed length, so that a call costs one small write into a page that is in memory
anyway: a killed process loses what was counted while its last write was under way, a machine that loses power
half a minute. Nobody waits to count: one thread adds and writes for all, as fifty that hand a lock to one
another, each behind Python's own, make a hundred calls a second, and few on a busy machine. Each process has
a file of its own in a folder that those of one configuration share; what the others have spent is read there.
"""

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson
from msgspec import Struct

from sources.aws.spending import telemetry
from sources.threads import Payer
from transforms.locks import Guard, guarded

KEPT_MONTHS = 13
_LOOK_SECONDS = 10.0
_LOCKS = (Guard("_lock", ("_rows", "_usd", "_bytes", "_file", "_end", "_others")),)


class SpendingKey(NamedTuple):
    """What a line is about. month: `2026-11`. action: as IAM calls it."""

    month: str
    service: str
    input: str
    setting: str
    action: str

    @property
    def payer(self) -> Payer:
        """For whom it was asked."""
        return Payer(self.service, self.input, self.setting)


class Counts(Struct):
    """since: epoch seconds of the first. calls: sent. units: what AWS charges by. size: bytes received."""

    since: int
    calls: int = 0
    units: int = 0
    size: int = 0
    place: int = -1

    def grow(self, more: "Counts") -> None:
        """Add what else was counted."""
        self.since = min(self.since, more.since)
        self.calls, self.units, self.size = (
            self.calls + more.calls,
            self.units + more.units,
            self.size + more.size,
        )

    def line(self, key: SpendingKey) -> bytes:
        """Return the line, of the same length whatever the numbers are."""
        told = orjson.dumps([*key])[1:-1].decode()
        numbers = f"{self.since:>11},{self.calls:>13},{self.units:>13},{self.size:>17}"
        return f"[{told},{numbers}]\n".encode()


class Spent(NamedTuple):
    """usd: for calls. size: bytes received."""

    usd: float = 0.0
    size: int = 0


class _ThreadSpent(threading.local):
    """What this thread has spent since it began."""

    usd = 0.0
    size = 0


@guarded(_LOCKS)
class SpendingBook:
    """The counts of this process. Thread-safe.

    price: action → USD for a unit. clock: epoch seconds.
    """

    def __init__(
        self, price: Callable[[str], float] = lambda _action: 0.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.price, self.clock = price, clock
        self._lock = threading.RLock()
        self._here = _ThreadSpent()
        self._rows: dict[SpendingKey, Counts] = {}
        self._usd: defaultdict[tuple[str, Payer], float] = defaultdict(float)
        self._bytes: defaultdict[tuple[str, Payer], int] = defaultdict(int)
        self._file, self._end = -1, 0
        self._counted: deque[tuple[SpendingKey, Counts]] = deque()
        self._path: Path | None = None
        self._others: tuple[float, Mapping[SpendingKey, Counts]] = (-_LOOK_SECONDS, {})

    def keep(self, path: Path) -> None:
        """Go on from a file and keep it from now on; what is older than a year is left out."""
        oldest = f"{int(self.month[:4]) - KEPT_MONTHS // 12}{self.month[4:]}"
        with self._lock:
            self._catch_up()
            counted, self._rows, self._path = self._rows, {}, path
            self._usd.clear()
            self._bytes.clear()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            for key, found in (*read(path), *counted.items()):
                if key.month >= oldest:
                    self._add(key, found)
            try:
                self._write_anew(path)
            except OSError as error:
                telemetry.spending_not_kept(path, error)

    def _write_anew(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines, self._end = [], 0
        for key, row in self._rows.items():
            lines.append(row.line(key))
            row.place, self._end = self._end, self._end + len(lines[-1])
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(b"".join(lines))
        new.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    @property
    def month(self) -> str:
        """Return which month it is."""
        return month_of(self.clock())

    def add(self, payer: Payer, action: str, calls: int = 0, units: int = 0, size: int = 0) -> None:
        """Count what one thread has asked, or received, for somebody."""
        now = int(self.clock())
        self._counted.append((SpendingKey(month_of(now), *payer, action), Counts(now, calls, units, size)))
        self._here.usd += units * self.price(action)
        self._here.size += size
        while self._counted and self._lock.acquire(blocking=False):  # else who has it adds this, too
            try:
                self._catch_up()
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        """Add all that was counted, and write it."""
        changed: dict[SpendingKey, Counts] = {}
        with suppress(IndexError):
            while True:
                key, more = self._counted.popleft()
                changed[key] = self._add(key, more)
        for key, row in changed.items():
            self._write(key, row)

    def _add(self, key: SpendingKey, more: Counts) -> Counts:
        row = self._rows.setdefault(key, Counts(more.since))
        row.grow(more)
        self._usd[key.month, key.payer] += more.units * self.price(key.action)
        self._bytes[key.month, key.payer] += more.size
        return row

    def _write(self, key: SpendingKey, row: Counts) -> None:
        if self._file < 0:
            return
        line = row.line(key)
        if row.place < 0:
            row.place, self._end = self._end, self._end + len(line)
        try:
            os.pwrite(self._file, line, row.place)
        except OSError as error:
            os.close(self._file)
            self._file = -1  # it is counted in memory until the next start
            telemetry.spending_not_kept(self._path, error)

    def of_thread(self) -> Spent:
        """Return what this thread has spent so far, for differences."""
        return Spent(self._here.usd, self._here.size)

    def rows(self) -> dict[SpendingKey, Counts]:
        """Return what this process has counted this month."""
        month = self.month
        with self._lock:
            self._catch_up()
            return {key: row for key, row in self._rows.items() if key.month == month}

    def spent(self) -> dict[Payer, Spent]:
        """Return what was spent this month for each, by the other processes of this configuration too."""
        month = self.month
        with self._lock:
            self._catch_up()
            found = {
                payer: Spent(usd, self._bytes[when, payer])
                for (when, payer), usd in self._usd.items()
                if when == month
            }
            for key, row in self._elsewhere().items():
                if key.month == month:
                    before = found.get(key.payer, Spent())
                    usd = before.usd + row.units * self.price(key.action)
                    found[key.payer] = Spent(usd, before.size + row.size)
        return found

    def since(self) -> float:
        """Return when the first call of this month was counted, epoch seconds."""
        month, now = self.month, self.clock()
        with self._lock:
            self._catch_up()
            rows = [*self._rows.items(), *self._elsewhere().items()]
        return min((row.since for key, row in rows if key.month == month), default=now)

    def _elsewhere(self) -> Mapping[SpendingKey, Counts]:
        """Return what the other files of the folder say, at most ten seconds old."""
        if self._path is None:
            return {}
        if time.monotonic() - self._others[0] >= _LOOK_SECONDS:
            others = [one for one in files(self._path.parent) if one != self._path]
            self._others = time.monotonic(), joined(others)
        return self._others[1]


def month_of(seconds: float) -> str:
    """Return the month of a moment, in UTC: `2026-11`."""
    return time.strftime("%Y-%m", time.gmtime(seconds))


def files(folder: Path) -> list[Path]:
    """Return the books of a folder, in their order."""
    return sorted(one for one in folder.glob("*.spent") if not one.name.startswith("."))


def read(path: Path) -> Iterator[tuple[SpendingKey, Counts]]:
    """Yield what a book says; a line that a lost machine has left half written is told and left out."""
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        telemetry.spending_not_kept(path, error)
        return
    for number, line in enumerate(lines, 1):
        try:
            *named, since, calls, units, size = msgspec.json.decode(
                line, type=tuple[str, str, str, str, str, int, int, int, int]
            )
        except msgspec.MsgspecError as error:
            telemetry.spending_not_kept(f"{path}, line {number}", error)
            continue
        yield SpendingKey(*named), Counts(since, calls, units, size)


def joined(paths: list[Path]) -> dict[SpendingKey, Counts]:
    """Return what several books say together."""
    found: dict[SpendingKey, Counts] = {}
    for key, counts in (line for path in paths for line in read(path)):
        found.setdefault(key, Counts(counts.since)).grow(counts)
    return found
