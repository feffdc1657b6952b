"""The journal of a running process: its log is opened, closed each hour, and compacted by a child process.

Compaction loads Arrow, some 60 MiB: in a process of its own, which ends, the collector stays small. One is at
work at a time, whoever of several processes started it.
"""

import fcntl
import gc
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, overload

from flows.config.load import JournalPlace
from flows.journal.book import JournalBook
from flows.journal.bucket import JournalBucket
from flows.journal.compaction import compact_closed, prune
from flows.journal.log import LOGS, JournalLog
from flows.journal.reader import Journal
from flows.journal.recent import OLDEST_SECONDS, Digests, ask, together
from flows.process import telemetry
from sources.errors import SourceError
from transforms.telemetry import listen

_LOOK_SECONDS = 60.0
_COMPACTING = ".compacting"
_NICE = 10
_RECALLED = 200, 256 << 20
"""Files and bytes of a bucket that are read at a start."""


@overload
def opened(place: JournalPlace, client: Callable[[], Any] | None) -> Journal: ...
@overload
def opened(place: JournalPlace | None, client: Callable[[], Any] | None) -> Journal | None: ...
def opened(place: JournalPlace | None, client: Callable[[], Any] | None) -> Journal | None:
    """Return a journal, to be read. client: makes the boto3 client of its bucket, None = nobody asks."""
    if place is None:
        return None
    return JournalBucket(place.bucket, client, place.folder) if place.bucket and client else place.folder


def begin(
    place: JournalPlace, drain: threading.Event, client: Callable[[], Any] | None = None
) -> JournalBook:
    """Open the journal of this process; what earlier lives left is compacted too. client: see `opened`."""
    process = f"{socket.gethostname()}-{os.getpid()}"
    closed = threading.Event()
    closed.set()
    life = f"{process}-{secrets.token_hex(4)}"  # of a container host and pid are the same at each start
    there = opened(place, client)
    put = there.keep if isinstance(there, JournalBucket) else None
    log = JournalLog(place.folder / LOGS, life, lambda _path: closed.set(), put=put)
    made = JournalBook(log, process, partial(recalled, there), place.bucket)
    listen(made.hear)

    def look() -> None:
        log.turn()
        if closed.is_set():
            closed.clear()
            compact_apart(place)
            if isinstance(there, JournalBucket):
                there.ship()
                there.adopt(time.time())  # what others have lost is compacted next

    def tend() -> None:
        while not drain.wait(_LOOK_SECONDS):
            try:
                look()
            except (SourceError, OSError) as error:
                telemetry.journal_not_compacted(str(there), str(error))

    threading.Thread(target=tend, name="journal-tend", daemon=True).start()
    return made


def recalled(journal: Journal) -> Digests:
    """Return what former lives had receipts for, here and, where their disks were lost, by a bucket."""
    if isinstance(journal, Path):
        return ask(journal)
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        try:
            journal.latest(time.time(), Path(folder), *_RECALLED, OLDEST_SECONDS)
        except SourceError as error:
            telemetry.journal_not_recalled(str(journal), str(error))
        return together(ask(Path(folder)), ask(journal.folder))


def compact_apart(place: JournalPlace) -> None:
    """Compact and prune in a child process."""
    command = [sys.executable, "-m", "flows.journal.keeping", str(place.folder), str(place.keep_days)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own module
    if ended.returncode:
        telemetry.journal_not_compacted(str(place.folder), (ended.stderr.strip().splitlines() or [""])[-1])


def compact_here(folder: Path, keep_days: int) -> None:
    """Compact what is closed and remove what is too old, unless another process does that already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(folder / _COMPACTING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    os.nice(_NICE)
    prune(folder, keep_days)  # before: what is adopted is older, and goes to the bucket first
    compact_closed(folder)


if __name__ == "__main__":
    gc.disable()  # rows are many, and in no circle: looking for one takes a third of the time
    compact_here(Path(sys.argv[1]), int(sys.argv[2]))
