"""`python -m tests.chaos [word …]`: every receiver under every fault, and a table of what was lost.

A word is a receiver, a fault or a scene; without any, everything is played.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos import matrix, scenes
from tests.chaos.faults import FAULTS
from tests.chaos.matrix import PRODUCTION
from tests.chaos.targets import TARGETS
from tests.fakes.certs import make_certs
from tests.fakes.collector import Launch, Stage
from tests.fakes.ministack import Ministack

ONE, PAIR = Launch("bytewax"), Launch("bytewax", processes=2)
SCENES: dict[str, Callable[[Stage], scenes.Outcome]] = {
    "kill": lambda stage: scenes.killed_collector(stage, 20, ONE),
    "kill-cluster": lambda stage: scenes.killed_collector(stage, 5, PAIR),
    "drain": lambda stage: scenes.drained(stage, 600, ONE),
    "drain-cluster": lambda stage: scenes.drained(stage, 600, PAIR),
}
_MIB = 1 << 20


def main() -> int:
    """Play what was chosen; 0 when nothing was lost and repeats in scenes stayed within what was at risk."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("words", nargs="*", choices=[*TARGETS, *FAULTS, *SCENES, []], help="which ones (all)")
    words = set(parser.parse_args().words)
    console, good = Console(width=None if sys.stdout.isatty() else 170), True
    with Ministack() as aws, tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stages = stages_of(aws, Path(folder))
        cells = [cell(stages, console, *names) for names in chosen_cells(words)]
        if cells:
            console.print(cell_table(cells))
            good = all(one.good for one in cells)
        played = [SCENES[name](next(stages)) for name in chosen_scenes(words)]
        if played:
            console.print(scene_table(played))
            good = good and all(one.good for one in played)
    return 0 if good else 1


def stages_of(aws: Ministack, folder: Path) -> Iterator[Stage]:
    """Yield stages that share one AWS, each with a folder of its own."""
    numbers, certs = count(1), make_certs(folder / "certs")
    for number in count(1):
        yield Stage(aws, lambda text: f"{text}-{next(numbers)}", certs, folder / f"{number}")


def chosen_cells(words: set[str]) -> list[tuple[str, str]]:
    """Return the cells (receiver, fault) that these words choose."""
    if words and not words & {*TARGETS, *FAULTS}:
        return []
    rows = [name for name in TARGETS if name in words] or list(TARGETS)
    columns = [name for name in FAULTS if name in words] or list(FAULTS)
    return [(row, column) for row in rows for column in columns]


def chosen_scenes(words: set[str]) -> list[str]:
    """Return the scenes that these words choose."""
    return [name for name in SCENES if name in words or not words]


def cell(stages: Iterator[Stage], console: Console, row: str, column: str) -> matrix.Outcome:
    """Play one cell, or say why it makes no sense."""
    target, fault = TARGETS[row], FAULTS[column]
    if reason := fault.why_not(row):
        return matrix.Outcome(target.name, fault.name, reason)
    began = time.monotonic()
    outcome = matrix.run(next(stages), target, [(fault, fault.full)], PRODUCTION)
    console.print(f"{target.name}, {fault.name}: {outcome.verdict} in {time.monotonic() - began:.0f} s")
    return outcome


def cell_table(cells: Sequence[matrix.Outcome]) -> Table:
    """Return the matrix as a table."""
    made = Table(caption=f"{sum(one.planted for one in cells):,} faults planted")
    for name in ("output", "fault"):
        made.add_column(name, no_wrap=True)
    for name in ("planted", "sent", "received", "LOST", "repeated", "longest stall s", "peak MiB"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("")
    for one in cells:
        seen = one.verdict
        if seen is None:
            made.add_row(one.target, one.fault, *["-"] * 7, one.remark)
            continue
        numbers = (one.planted, seen.sent, seen.received, seen.lost, seen.repeated)
        measured = (f"{one.stall:.1f}", f"{one.peak_bytes / _MIB:.0f}")
        remark = one.remark if one.good else "FAILED"
        made.add_row(one.target, one.fault, *(f"{number:,}" for number in numbers), *measured, remark)
    return made


def scene_table(outcomes: Sequence[scenes.Outcome]) -> Table:
    """Return the scenes as a table. at risk: what the guarantee allows to come twice."""
    made = Table()
    made.add_column("scene", no_wrap=True)
    for name in ("times", "sent", "received", "LOST", "repeated", "at risk", "torn", "drain s", ""):
        made.add_column(name, justify="right", no_wrap=True)
    for one in outcomes:
        seen = one.verdict
        numbers = (one.times, seen.sent, seen.received, seen.lost, seen.repeated, one.allowed, seen.torn)
        seconds = f"{one.seconds:.1f}" if one.seconds else "-"
        made.add_row(
            one.scene, *(f"{number:,}" for number in numbers), seconds, "ok" if one.good else "FAILED"
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
