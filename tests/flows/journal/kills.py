"""A process that writes and compacts a journal, killed and born again; prints what each life had promised.

    python -m tests.flows.journal.kills FOLDER LIVES SEED

Each life is a fork, so that two hundred of them do not load Arrow two hundred times.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - loaded once, before the lives

from flows.journal.compaction import compact_closed
from flows.journal.log import LOGS, JournalLog
from tests.flows.journal.journals import row

LIFE = 1_000_000
"""Rows of the n-th life are numbered from n times this."""


def live(folder: Path, life: int, told: int) -> None:
    """Write rows for ever, each told once its write has returned; close the log and compact now and then."""
    chance = random.Random(life)
    log = JournalLog(folder / LOGS, f"p{life}")
    for number in range(life * LIFE, (life + 1) * LIFE):
        log.write([row(number)])
        os.write(told, b"w")
        if chance.random() < 0.05:
            log.close()
            os.write(told, b"c")
            compact_closed(folder)
            os.write(told, b"d")


def killed(folder: Path, life: int, seconds: float) -> dict[str, int | bool]:
    """Kill a life at a moment; return how many rows were promised, and whether it was compacting."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        live(folder, life, writes)
        os._exit(0)
    os.close(writes)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reads, "rb") as pipe:
        told = pipe.read()
    return {"life": life, "promised": told.count(b"w"), "compacting": told.endswith(b"c")}


if __name__ == "__main__":
    where, lives, moments = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    found = [killed(where, life, moments.uniform(0.005, 0.15)) for life in range(lives)]
    sys.stdout.write(json.dumps(found))
