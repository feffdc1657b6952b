"""The live collector on `cheap_aws`: from the queue to the receiver, at an AWS that costs nothing."""

import json
import math
import statistics
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.bench.bench import PYTHON, Bench, Cost, Made, ended, net, start, surely_ended
from tests.bench.replays import aws_input, collector, files, floor_command, flow_logs, replay
from tests.bench.table import Measured

LATENCY = 0.04
THREADS = 64
SMALL_LINES = 300  # about 10 KB stored
AWS = "tests.bench.cheap_aws"


@dataclass(frozen=True, slots=True)
class Lived:
    """One life. cost: start to end. moving: seconds from the first receive to the last line.

    first: seconds from the start to the first line. calls: by operation.
    """

    cost: Cost
    moving: float
    first: float
    calls: Mapping[str, int]


def stats(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stats", timeout=30) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def endpoint(port: int) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true"}


def collect(
    bench: Bench,
    port: int,
    config: Path,
    lines: int,
    options: tuple[str, ...] = (),
    *,
    python: tuple[str, ...] = (PYTHON,),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Lived:
    """Run the collector until all lines have arrived and all messages are deleted; then end it.

    python: with its own options. more: environment.
    """
    log, began, base = bench.folder / "log", time.monotonic(), bench.count()
    command = [*python, "-m", "flows", "run", "--config", str(config), "--interval", "1", *options]
    process = start(command, {**endpoint(port), **more}, log)
    with surely_ended(process):
        bench.wait(lambda: bench.count() > base, process, log)
        first = time.monotonic() - began
        bench.wait(lambda: bench.count() >= base + lines, process, log)
        arrived = time.time()
        bench.wait(lambda: not (left := stats(port))["waiting"] + left["held"], process, log)
        told = stats(port)
        process.terminate()
        cost = ended(process, began, asked=True, log=log)
    return Lived(cost, arrived - (told["first"] or arrived), first, told["calls"])


def life(bench: Bench, corpus: Made, latency: float = 0.0, options: tuple[str, ...] = ()) -> Lived:
    """Collect a corpus that the queue announces."""
    config = bench.configuration(aws_input(flow_logs()), "live")
    with bench.service(AWS, "--folder", corpus.folder, "--latency", latency) as port:
        return collect(bench, port, config, corpus.events, options)


def middle(lives: list[Lived], of: Callable[[Lived], float]) -> float:
    return statistics.median(map(of, lives))


def large(bench: Bench) -> Measured:
    """Compare wall clocks of live and replay for whole objects."""
    corpus, one = bench.corpus("vpc", files(bench, 100)), bench.corpus("vpc", 1)
    again, lives, long, short = collector(bench, replay("vpc")), [], [], []
    for _ in range(bench.rounds):
        lives.append(life(bench, corpus, LATENCY))
        long.append(again(corpus))
        short.append(again(one))
    bench.peaks["live-large"] = max(one.cost.peak for one in lives)
    floor = net(long, short, corpus.events - one.events).wall
    return Measured(
        "live-large", corpus.events / middle(lives, lambda one: one.moving), floor, bench.peaks["live-large"]
    )


def small(bench: Bench) -> list[Measured]:
    """Compare objects a second, live and boto3's GETs alone; count the queue's calls on the way."""
    corpus = bench.corpus(SMALL_LINES, 400 if bench.quick else 6_000)
    lives, alone = [], []
    for _ in range(bench.rounds):
        lives.append(life(bench, corpus, LATENCY))
        alone.append(gets(bench, corpus))
    bench.peaks["live-small"] = max(one.cost.peak for one in lives)
    rate = corpus.files / middle(lives, lambda one: one.moving)
    calls = middle(lives, lambda one: sum(n for name, n in one.calls.items() if name in QUEUE_CALLS))
    return [
        Measured("live-small", rate, corpus.files / statistics.median(alone), bench.peaks["live-small"]),
        Measured("sqs-calls", calls / corpus.files, note="empty receives apart"),
    ]


QUEUE_CALLS = ("sqs.ReceiveMessage", "sqs.DeleteMessage", "sqs.ChangeMessageVisibility")


def gets(bench: Bench, corpus: Made) -> float:
    """Return the seconds that boto3 takes for the GETs alone."""
    with bench.service(AWS, "--folder", corpus.folder, "--latency", LATENCY) as port:
        log = bench.folder / "alone"
        command = [PYTHON, "-m", "tests.bench.alone", "gets", f"http://127.0.0.1:{port}", str(THREADS)]
        process = start(command, {}, log)
        bench.wait(lambda: b"begin" in log.read_bytes(), process, log)
        began = time.monotonic()
        process.wait()
        return time.monotonic() - began


def processes(bench: Bench) -> list[Measured]:
    """Compare two processes and one, by clock and CPU; beside it what the machine allows two floor pipes."""
    corpus = bench.corpus("vpc", files(bench, 100))
    lives: dict[int, list[Lived]] = {1: [], 2: []}
    short: dict[int, list[Lived]] = {1: [], 2: []}
    allowed, few = [], bench.corpus("vpc", 2)
    for _ in range(bench.rounds):
        for count, found in lives.items():
            found.append(life(bench, corpus, 0.0, ("--processes", str(count))))
            short[count].append(life(bench, few, 0.0, ("--processes", str(count))))
        allowed.append(2 * pipes(bench, corpus, 1) / pipes(bench, corpus, 2))
    one, two = (corpus.events / middle(lives[count], lambda life: life.moving) for count in (1, 2))
    cpu = {
        count: middle(lives[count], lambda life: life.cost.cpu)
        - middle(short[count], lambda life: life.cost.cpu)
        for count in lives
    }
    micro = {count: seconds / (corpus.events - few.events) * 1e6 for count, seconds in cpu.items()}
    note = f"two floor pipes at once: {statistics.median(allowed):.2f} x"
    return [
        Measured("processes", two, one, note=note),
        Measured("processes-cpu", micro[2], micro[1]),
    ]


def pipes(bench: Bench, corpus: Made, count: int) -> float:
    """Return the seconds that so many floor pipes take at once."""
    began = time.monotonic()
    command = floor_command(bench, "vpc", corpus)
    started = [start(command, {}, bench.folder / f"pipe-{number}") for number in range(count)]
    for process in started:
        process.wait()
    return time.monotonic() - began


def starts(bench: Bench) -> Measured:
    """Compare start to first event with importing boto3 and bytewax."""
    corpus = bench.corpus(SMALL_LINES, 10)
    lives, bare = [], []
    for _ in range(max(bench.rounds, 3)):
        lives.append(life(bench, corpus))
        bare.append(bench.run([PYTHON, "-m", "tests.bench.alone", "nothing"]).wall)
    return Measured("start", middle(lives, lambda one: one.first), statistics.median(bare))


def peak(bench: Bench) -> Measured:
    """Return the largest peak of the works measured so far."""
    if not bench.peaks:
        return Measured("peak", math.nan, skipped="nothing else was measured")
    most = max(bench.peaks, key=bench.peaks.__getitem__)
    return Measured("peak", bench.peaks[most], note=f"at {most}")
