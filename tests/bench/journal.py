"""What the journal costs: the live collector with it and without, in turns, by CPU time (user and system).

    python -m tests.bench.journal [--rounds N] [--small N] [--large N]

Each pair is one life without a journal and one with it, on the same objects, both net of a life that collects
one object; told is the median of the pairs' differences, with their quartiles, and what a row takes on disk
when it is compacted (of a thousand rows and more: a file has some kilobytes of its own).
"""

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - loaded before anything is measured

from flows.journal.compaction import compact_closed
from flows.journal.reader import Query, rows
from tests.bench.bench import Bench, Made, bench
from tests.bench.live import AWS, LATENCY, SMALL_LINES, collect
from tests.bench.replays import aws_input, flow_logs

TARGETS = {"10 KB objects": 0.03, "large objects": 0.02}
ROW_BYTES, MANY_ROWS = 200, 1_000


def life(made: Bench, corpus: Made, journal: str) -> float:
    """Return the CPU seconds of a collector's life. journal: its folder, or `off`."""
    config = made.configuration(aws_input(flow_logs()), "live")
    told = json.loads(config.read_text())
    told["globals"]["journal"] = journal
    config.write_text(json.dumps(told))
    with made.service(AWS, "--folder", corpus.folder, "--latency", LATENCY) as port:
        return collect(made, port, config, corpus.events).cost.cpu


@contextmanager
def folder(made: Bench) -> Iterator[Path]:
    where = made.folder / "journal"
    yield where
    shutil.rmtree(where, ignore_errors=True)


def pair(made: Bench, corpus: Made, *, first: bool) -> tuple[float, float, float, float]:
    """Return CPU seconds without and with a journal, those of its compaction, and bytes a row."""
    without = life(made, corpus, "off") if first else 0.0
    with folder(made) as where:
        having = life(made, corpus, str(where))
        began = time.process_time()
        files = compact_closed(where)
        compacting = time.process_time() - began
        size = sum(path.stat().st_size for path in files)
        count = sum(1 for _ in rows(where, Query()))
        a_row = size / count if count >= MANY_ROWS else 0.0
    without = without or life(made, corpus, "off")
    start = life(made, made.corpus(SMALL_LINES, 1), "off")
    return without - start, having - start, compacting, a_row


def told(name: str, found: list[tuple[float, float, float, float]]) -> str:
    shares = [(having + compacting) / without - 1 for without, having, compacting, _ in found]
    low, middle, high = statistics.quantiles(shares, n=4) if len(shares) > 1 else shares * 3
    off, on = (statistics.median(one[at] for one in found) for at in (0, 1))
    row = max(one[3] for one in found)
    met = "met" if middle <= TARGETS[name] and row <= ROW_BYTES else "not met"
    a_row = f"; {row:.0f} bytes a row, at most {ROW_BYTES}" if row else ""
    return (
        f"{name}: {off:.2f} s of CPU without, {on:.2f} s with; in {len(found)} pairs {middle:+.1%} "
        f"(quartiles {low:+.1%} to {high:+.1%}), at most {TARGETS[name]:.0%}{a_row}: {met}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.journal")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", type=int, default=3_000, help="objects of 10 KB")
    parser.add_argument("--large", type=int, default=40, help="objects of a whole VPC flow log")
    asked = parser.parse_args()
    gc.disable()  # as in the process that compacts
    with tempfile.TemporaryDirectory() as where, bench(Path(where), asked.rounds, quick=False) as made:
        corpora = {
            "10 KB objects": made.corpus(SMALL_LINES, asked.small),
            "large objects": made.corpus("vpc", asked.large),
        }
        for name, corpus in corpora.items():
            found = [pair(made, corpus, first=number % 2 == 0) for number in range(asked.rounds)]
            sys.stdout.write(told(name, found))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
