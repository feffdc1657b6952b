"""The journal of a running process: its log is opened, closed each hour, and compacted by a child process.

Compaction loads Arrow, some 60 MiB: in a process of its own, which ends, the collector stays small. One is at
work at a time, whoever of several processes started it.
"""

import fcntl
import os
import secrets
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from flows.config.load import JournalPlace
from flows.journal.book import JournalBook
from flows.journal.compaction import compact_closed, prune
from flows.journal.log import LOGS, JournalLog
from flows.journal.recent import ask
from flows.process import telemetry
from transforms.telemetry import listen

_LOOK_SECONDS = 60.0
_COMPACTING = ".compacting"
_NICE = 10


def begin(place: JournalPlace, drain: threading.Event) -> JournalBook:
    """Open the journal of this process; what earlier lives have left is compacted too."""
    process = f"{socket.gethostname()}-{os.getpid()}"
    closed = threading.Event()
    closed.set()
    life = f"{process}-{secrets.token_hex(4)}"  # of a container host and pid are the same at each start
    log = JournalLog(place.folder / LOGS, life, lambda _path: closed.set())
    made = JournalBook(log, process, partial(ask, place.folder))
    listen(made.hear)

    def tend() -> None:
        while not drain.wait(_LOOK_SECONDS):
            log.turn()
            if closed.is_set():
                closed.clear()
                compact_apart(place)

    threading.Thread(target=tend, name="journal-tend", daemon=True).start()
    return made


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
    compact_closed(folder)
    prune(folder, keep_days)


if __name__ == "__main__":
    compact_here(Path(sys.argv[1]), int(sys.argv[2]))
