"""What former lives had receipts for last: read from the journal at a start, by a child process, as digests.

A message that was not deleted comes again, by the next start at the latest: its objects have rows, and are
not sent again. Needed are the last rows of each life, however long ago it ended; none older than SQS keeps a
message. What comes again to a running process is written again, so two files of a life are enough.
"""

import heapq
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from flows.journal.bucket import PARQUET
from flows.journal.log import LOGS, begun, logs, read
from flows.journal.reader import of_file, of_parquet
from flows.process import telemetry
from sources.journal import JournalRow, digest

OLDEST_SECONDS = 14 * 86_400
"""As long as SQS keeps a message at most."""

LIFE_FILES, MOST_FILES = 2, 1_000
"""Of one life, and in all: reading 1,000 small ones takes seconds; large ones end it at ALL_DIGESTS."""
MOST_DIGESTS, ALL_DIGESTS = 20_000, 200_000
"""Of one service in one file, and in all: of a queue 10,000 messages at most wait for their deletion."""

_COLUMNS = (
    *("time", "kind", "outcome", "service", "input", "container", "object", "version", "etag"),
    *("start", "end"),
)
_TIMEOUT_SECONDS = 120

Digests: TypeAlias = Mapping[str, Mapping[str, bytes]]
"""Service → input → digests, 16 bytes each, the latest last."""


def recent(folder: Path, now: float) -> Digests:
    """Return what the last rows of each life in a journal stand for. now: epoch seconds."""
    found: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    left = ALL_DIGESTS
    for paths in _files(folder, now):
        if not left:
            break
        for key, latest in _latest(row for path in paths for row in _rows(folder, path)).items():
            taken = latest[:left]
            found[key] += taken
            left -= len(taken)
    made: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for (service, owner), digests in found.items():
        made[service][owner] = b"".join(reversed(digests))
    return made


def ask(folder: Path) -> Digests:
    """Return the same, read by a child process; nothing when it fails, which is told."""
    if not any(path for place in (LOGS, "day=*") for path in folder.glob(f"{place}/*")):
        return {}
    command = [sys.executable, "-m", "flows.journal.recent", str(folder)]
    try:
        ended = subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)  # noqa: S603 - our own module
        return msgspec.msgpack.decode(ended.stdout, type=dict[str, dict[str, bytes]])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        said = (
            ((error.stderr if isinstance(error, subprocess.CalledProcessError) else b"") or b"")
            .decode(errors="replace")
            .strip()
            .splitlines()
        )
        telemetry.journal_not_recalled(str(folder), (said or [str(error)])[-1])
        return {}


def together(*found: Digests) -> Digests:
    """Return several as one; the later ones are the later."""
    made: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for one in found:
        for service, owners in one.items():
            for owner, digests in owners.items():
                made[service][owner] = made[service].get(owner, b"") + digests
    return made


def split(digests: bytes) -> Iterator[bytes]:
    """Yield digests one by one."""
    return (digests[start : start + 16] for start in range(0, len(digests), 16))


def _files(folder: Path, now: float) -> Iterator[list[Path]]:
    """Yield the last logs of each life, newest first; one that is Parquet already may be of two days."""
    running = {path.stem: [path] for path in logs(folder / LOGS)}
    compacted: defaultdict[str, list[Path]] = defaultdict(list)
    for path in folder.glob(f"day=*/*{PARQUET}"):
        compacted[path.stem].append(path)
    lives: Counter[str] = Counter()
    wanted = list[str]()
    for stem in sorted({*running, *compacted}, reverse=True):
        life = stem.partition("-")[2]
        lives[life] += 1
        if lives[life] <= LIFE_FILES and now - begun(stem) < OLDEST_SECONDS:
            wanted.append(stem)
    return (running.get(stem) or compacted[stem] for stem in wanted[:MOST_FILES])


def _rows(folder: Path, path: Path) -> Iterator[JournalRow]:
    return of_file(folder, path, read, lambda made: of_parquet(made, _COLUMNS))


def _is_done(row: JournalRow) -> bool:
    """Tell what is not taken again. A quarantined object is: its notice may come once it can be read.

    Windows have no notices; theirs are the rows of a resumed state, none of which is written twice.
    """
    return row.outcome == "delivered" or (row.kind == "window" and row.outcome == "quarantined")


def _latest(rows: Iterable[JournalRow]) -> Mapping[tuple[str, str], list[bytes]]:
    """Return the last digests of each service and input, the latest first."""
    found: defaultdict[tuple[str, str], list[tuple[int, bytes]]] = defaultdict(list)
    for row in rows:
        if _is_done(row):
            heap = found[row.service, row.input]
            (heapq.heappush if len(heap) < MOST_DIGESTS else heapq.heappushpop)(
                heap, (row.time, digest(row.id))
            )
    return {key: [one for _, one in sorted(heap, reverse=True)] for key, heap in found.items()}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(recent(Path(sys.argv[1]), time.time())))
