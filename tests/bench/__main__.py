"""`make bench`: what each work costs beside the least that it can cost, and beside others, in one run.

    python -m tests.bench [--quick] [--only WORK …] [--rounds N] [--no-peers] [--json FILE]

A bench judges nobody: the table says what is met, the exit code is 0 always.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import apis, before, imports, latency, live, memory, replays, shippers
from tests.bench.bench import Bench, Failed, bench, machine
from tests.bench.table import PEERS, TARGETS, Measured, as_json, cells, heading, line, target

WORKS: dict[str, Callable[[Bench], Measured | list[Measured]]] = {
    **{case.work: partial(replays.measure, work=case.work) for case in replays.REPLAYS},
    "logs": apis.logs,
    "eventbridge": apis.eventbridge,
    "live-large": live.large,
    "live-small": live.small,
    "before": before.measure,
    "live-beside": apis.beside,
    "processes": live.processes,
    "latency": latency.measure,
    "start": live.starts,
    "metric-calls": apis.metric_calls,
    "peak": live.peak,
    "memory-services": memory.services,
    "memory-inputs": memory.inputs,
    "memory-workers": memory.workers,
    **{peer.work: partial(shippers.measure, target=peer) for peer in PEERS},
}
"""Work → how it is measured; some tell several rows, the peak comes after all that has one."""


def measured(bench: Bench, work: str) -> list[Measured]:
    """Measure one work; what fails is a row too, so that the rest is still seen."""
    try:
        found = WORKS[work](bench)
    except Failed as error:
        sys.stderr.write(f"{work}: {error}\n")
        return [Measured(row, skipped="failed, see above") for row in rows_of(work)]
    return found if isinstance(found, list) else [found]


def rows_of(work: str) -> list[str]:
    """Return the table's rows that a work tells: its own, and those that are named after it."""
    rows = [one.work for one in (*TARGETS, *PEERS)]
    return [row for row in rows if row == work or (row.rpartition("-")[0] == work and row not in WORKS)]


def chosen(only: Sequence[str] | None, *, peers: bool) -> list[str]:
    others = {peer.work for peer in PEERS}
    return [work for work in WORKS if (work in only if only else peers or work not in others)]


def title(told: dict[str, Any]) -> str:
    state = "quiet" if told["quiet"] else "LOADED: no figure of it counts"
    size = "small inputs, " if told["quick"] else ""
    return f"{told['cores']} cores, {state} (load {told['load_before']}), {size}Python {told['python']}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="small inputs, one round, under two minutes")
    parser.add_argument("--only", nargs="+", choices=WORKS, metavar="WORK", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=0, help="runs of each program (1 when quick, else 5)")
    parser.add_argument("--no-peers", action="store_true", help="without the other shippers")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    told, found = machine(quick=args.quick), []
    print(f"{title(told)}\n{heading()}")
    with tempfile.TemporaryDirectory(prefix="devo-aws-bench-") as name:
        rounds = args.rounds or (1 if args.quick else 5)
        with bench(Path(name), rounds, quick=args.quick) as running:
            for work in chosen(args.only, peers=not args.no_peers):
                for row in measured(running, work):
                    found.append(row)
                    print(line(cells(target(row.work), row)), flush=True)
                if work == "start":
                    told["imports"] = imports.measured(rounds)
                if args.json:  # after each work: a run that is ended leaves what it has
                    write(args.json, told, found)


def write(path: Path, told: dict[str, Any], found: list[Measured]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"rows": as_json(found, TARGETS), "peers": as_json(found, PEERS)}
    path.write_text(json.dumps({"machine": told, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
