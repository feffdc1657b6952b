"""Small objects, live, beside the same by the commit that this round of work began with."""

import subprocess
from pathlib import Path
from statistics import median

from tests.bench.bench import INSTALLED, PYTHON, ROOT, Bench
from tests.bench.live import AWS, SMALL_LINES, collect
from tests.bench.replays import aws_input, flow_logs
from tests.bench.table import Measured

COMMIT = "a2298a1"
SIZES = {"before-10k": SMALL_LINES, "before-1k": 30}
"""Row → lines of an object: about 10 KB and 1 KB stored."""

OBJECTS, FEW, ROUNDS = 4_000, 100, 3


def measure(bench: Bench) -> list[Measured]:
    """Compare the CPU time of an object, at an AWS without latency: both in turns, net of a start."""
    if missing := unpacked(bench.folder / "before"):
        return [Measured(work, skipped=missing) for work in SIZES]
    return [_row(bench, work, lines) for work, lines in SIZES.items()]


def unpacked(folder: Path) -> str:
    """Unpack the code as it was, once; return why it cannot be, "" = it is there."""
    if not folder.exists():
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", COMMIT], capture_output=True, check=False
        )
        if archive.returncode:
            return f"no git history with {COMMIT} here"
        folder.mkdir()
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return ""


def _row(bench: Bench, work: str, lines: int) -> Measured:
    trees = {"now": ROOT, "then": bench.folder / "before"}
    sizes = (400 if bench.quick else OBJECTS, FEW)
    micro: dict[str, list[float]] = {who: [] for who in trees}
    for _ in range(min(bench.rounds, ROUNDS)):
        for who, tree in trees.items():
            long, short = (_cpu(bench, tree, lines, objects) for objects in sizes)
            micro[who].append((long - short) / (sizes[0] - sizes[1]) * 1e6)
    return Measured(work, *(median(micro[who]) for who in trees))


def _cpu(bench: Bench, tree: Path, lines: int, objects: int) -> float:
    """Return the CPU-seconds of a life; the packages of `tree` come before those that are installed."""
    corpus = bench.corpus(lines, objects)
    config = bench.configuration(aws_input(flow_logs()), "before")
    more = {"PYTHONPATH": f"{INSTALLED}:{tree}"}
    with bench.service(AWS, "--folder", corpus.folder, "--latency", 0) as port:
        return collect(bench, port, config, corpus.events, python=(PYTHON, "-P"), more=more).cost.cpu
