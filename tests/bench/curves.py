"""`make bench-curves`: how cost grows with size and number of what there is.

    python -m tests.bench.curves [--quick] [--only CURVE …] [--json FILE]

Costs are net of a start: a run on next to nothing, measured in the same run. `python -m tests.bench.page`
draws the plots and writes docs/performance.md.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import apis, live, replays
from tests.bench.bench import Bench, Cost, bench, machine
from tests.bench.growth import CURVES, Curve, Point, curve, growth

LINE_BYTES = 114
_LONG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one x takes: its cost, start included, and how many events it is."""

    cost: Cost
    events: int


Measure = Callable[[Bench, int], Run]


def size(bench: Bench, inflated: int) -> Run:
    volume, most = (30_000_000, 200) if bench.quick else (256_000_000, 20_000)
    files = max(1, min(most, volume // inflated))
    corpus = bench.corpus(max(1, inflated // LINE_BYTES), files)
    return Run(replays.collector(bench, replays.replay("vpc"))(corpus), corpus.events)


def objects(bench: Bench, count: int) -> Run:
    corpus = bench.corpus(1_000 // LINE_BYTES, count)
    found = live.life(bench, corpus)
    return Run(Cost(found.cost.cpu, found.moving, found.cost.peak), corpus.events)


def workers(bench: Bench, count: int) -> Run:
    corpus = bench.corpus("vpc", 8 if bench.quick else 64)
    program = replays.collector(bench, replays.replay("vpc"), count)
    return Run(program(corpus), corpus.events)


def processes(bench: Bench, count: int) -> Run:
    corpus = bench.corpus("vpc", 8 if bench.quick else 64)
    found = live.life(bench, corpus, 0.0, ("--processes", str(count)))
    return Run(Cost(found.cost.cpu, found.moving, found.cost.peak), corpus.events)


def groups(bench: Bench, count: int) -> Run:
    events = (10_000 if bench.quick else 200_000) // count * count
    config = bench.configuration(replays.aws_input(apis.log_groups()), "logs")
    return Run(apis.ours(bench, config, events, *apis.of_logs(events, count)), events)


def metrics(bench: Bench, count: int) -> Run:
    cost, _calls = apis.metric_run(bench, count)
    return Run(cost, count)


def inputs(bench: Bench, count: int) -> Run:
    corpus = bench.corpus(1_000 // LINE_BYTES, count)
    one = replays.aws_input(replays.flow_logs())["aws"]
    config = bench.configuration({f"aws{n}": {**one, "id": f"bench{n}"} for n in range(count)}, "inputs")
    with bench.service(live.AWS, "--folder", corpus.folder) as port:
        lived = live.collect(bench, port, config, corpus.events, ("--interval", "3"))  # as `run` has it
    return Run(Cost(lived.cost.cpu, lived.moving, lived.cost.peak), corpus.events)


def replayed(bench: Bench, workers: int = 1) -> Cost:
    return replays.collector(bench, replays.replay("vpc"), workers)(bench.corpus(1, 1))


def lived(bench: Bench, processes: int = 1) -> Cost:
    """Return the cost of a life with one line; its wall clock is not counted, a life's begins later."""
    found = live.life(bench, bench.corpus(1, 1), 0.0, ("--processes", str(processes)))
    return Cost(found.cost.cpu, 0.0, found.cost.peak)


def listened(bench: Bench) -> Cost:
    config = bench.configuration(replays.aws_input(apis.log_groups()), "logs")
    return apis.ours(bench, config, 1, *apis.of_logs(1, 1))


MEASURES: dict[str, tuple[Measure, Callable[[Bench, int], Cost]]] = {
    "size": (size, lambda bench, _x: replayed(bench)),
    "objects": (objects, lambda bench, _x: lived(bench)),
    "workers": (workers, replayed),
    "processes": (processes, lived),
    "groups": (groups, lambda bench, _x: listened(bench)),
    "inputs": (inputs, lambda bench, _x: lived(bench)),
    "metrics": (metrics, lambda bench, _x: apis.metric_run(bench, 1)[0]),
}
"""Curve → how an x is measured, and what a start with it costs."""


def point(bench: Bench, of: Curve, x: int) -> Point:
    """Measure one x and its start in turns; medians of the rounds, net of the start.

    What takes a minute is measured once: its start is no part of it then.
    """
    measure, begin = MEASURES[of.name]
    runs, starts = [], []
    for _ in range(bench.rounds):
        starts.append(begin(bench, x))
        runs.append(measure(bench, x))
        if runs[0].cost.wall > _LONG_SECONDS:
            break

    def net(name: str) -> float:
        whole = statistics.median(getattr(run.cost, name) for run in runs)
        return max(whole - statistics.median(getattr(start, name) for start in starts), 0.0)

    return Point(x, runs[0].events, net("cpu"), net("wall"), max(run.cost.peak for run in runs))


def measured(bench: Bench, of: Curve) -> list[Point]:
    print(f"\n{of.title}\n{of.axis:>34}     events    cpu s   wall s   ev/cpu-s       ev/s  peak MiB")
    points = []
    for x in of.quick if bench.quick else of.full:
        points.append(one := point(bench, of, x))
        rates = f"{one.per_cpu:10,.0f} {one.per_second:10,.0f} {one.peak_mib:9.0f}"
        print(f"{x:34,} {one.events:10,} {one.cpu:8.2f} {one.wall:8.2f} {rates}", flush=True)
    print(growth(of, points))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.curves")
    parser.add_argument("--quick", action="store_true", help="few points, small inputs, about two minutes")
    parser.add_argument("--only", nargs="+", choices=MEASURES, help="some of the curves")
    parser.add_argument("--json", type=Path, help="write the points there too, beside those of other curves")
    args = parser.parse_args()
    told = machine(quick=args.quick)
    names = args.only or [one.name for one in CURVES]
    found: dict[str, Any] = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    rounds = 1 if args.quick else 3
    with (
        tempfile.TemporaryDirectory(prefix="devo-aws-curves-") as name,
        bench(Path(name), rounds, quick=args.quick) as running,
    ):
        for one in names:
            points = measured(running, curve(one))
            found[one] = {"machine": told, "points": [asdict(each) for each in points]}
            if args.json:
                args.json.parent.mkdir(parents=True, exist_ok=True)
                args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
