"""How long an event waits: from its object's notice in the queue to its last line at the receiver.

Objects come one after the other at a steady rate, and the k-th to be complete is set beside the k-th that was
put: exact while they do not overtake each other, and the same mean where they do.
"""

import math
import time
from itertools import pairwise
from statistics import median

from tests.bench.bench import PYTHON, Bench, Failed, Made, ended, start, surely_ended
from tests.bench.live import AWS, SMALL_LINES, endpoint, life, middle, stats
from tests.bench.replays import aws_input, flow_logs
from tests.bench.table import Measured

LIGHT = 2.0
"""Objects a second."""

SHARE = 0.8
"""Of the rate at which objects that all wait are collected."""

_POLL_SECONDS = 0.005


def quantile(waits: list[float], share: float) -> float:
    """Return the smallest wait that at least such a share of all stay within; nan of none."""
    return sorted(waits)[math.ceil(share * len(waits)) - 1] if waits else math.nan


def waits(bench: Bench, corpus: Made, rate: float) -> list[float]:
    """Return the seconds that each object waited; the first few, of a start, are left out."""
    config = bench.configuration(aws_input(flow_logs()), "latency")
    lines, skipped = corpus.events // corpus.files, min(10, corpus.files // 4)
    with bench.service(AWS, "--folder", corpus.folder, "--rate", rate) as port:
        log, began, base = bench.folder / "log", time.monotonic(), bench.count()
        process = start([PYTHON, "-m", "flows", "run", "--config", str(config)], endpoint(port), log)
        arrived: list[float] = []
        with surely_ended(process):
            until = time.monotonic() + corpus.files / rate + 60
            while len(arrived) < corpus.files and time.monotonic() < until:
                now, done = time.time(), (bench.count() - base) // lines
                arrived += [now] * (done - len(arrived))
                time.sleep(_POLL_SECONDS)
            first = stats(port)["first"]
            process.terminate()
            ended(process, began, asked=True, log=log)
    if len(arrived) < corpus.files:
        raise Failed(f"{len(arrived)} of {corpus.files} objects arrived at {rate:.0f} a second")
    return [at - first - number / rate for number, at in enumerate(arrived)][skipped:]


def bare(bench: Bench, corpus: Made) -> float:
    """Return the median seconds of one receive, GET and send of a bare loop, one object after the other."""
    with bench.service(AWS, "--folder", corpus.folder) as port:
        told = bench.folder / "bare"
        url = f"http://127.0.0.1:{port}"
        bench.run(
            [PYTHON, "-m", "tests.bench.alone", "latency", url, str(bench.certs), str(bench.port), str(told)]
        )
    return median(after - before for before, after in pairwise(map(float, told.read_text().split())))


def measure(bench: Bench) -> list[Measured]:
    """Measure under light load and at most of the peak rate; the peak is of the same run."""
    light = bench.corpus(SMALL_LINES, 30 if bench.quick else 120)
    busy = bench.corpus(SMALL_LINES, 400 if bench.quick else 6_000)
    peak = busy.files / middle([life(bench, busy) for _ in range(bench.rounds)], lambda one: one.moving)
    rows = []
    for work, corpus, rate in (("latency-light", light, LIGHT), ("latency-busy", busy, SHARE * peak)):
        found = [one for _ in range(bench.rounds) for one in waits(bench, corpus, rate)]
        p50, p90 = quantile(found, 0.5), quantile(found, 0.9)
        note = f"p50 {p50:.3f}, p90 {p90:.3f} at {rate:,.0f} objects/s"
        rows.append(
            Measured(work, quantile(found, 0.99), bare(bench, corpus), note=note, samples=tuple(found))
        )
    return rows
