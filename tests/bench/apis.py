"""Works whose events come from AWS APIs: beside boto3 alone, which throws away, or the fewest calls."""

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sources.apis.metric_data import QUERIES, STATISTICS
from tests.bench.bench import PYTHON, Bench, Cost, ended, net, start, surely_ended
from tests.bench.cheap_aws import LOG_START
from tests.bench.live import AWS, Lived, collect, endpoint, middle
from tests.bench.replays import aws_input, files, flow_logs
from tests.bench.table import Measured
from tests.fakes.fake_aws.control import control

FAST = 100_000
"""Requests a second, so that no limit of ours is measured."""
GROUPS = 4


def since(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def log_groups() -> dict[str, Any]:
    """Return a service that reads every group from the first event on."""
    polled = {"regions": ["us-east-1"], "request_period_in_seconds": 1, "requests_per_second": FAST}
    reach = {"settle_seconds": 0, "overlap_seconds": 0}
    return {
        "bench-logs": {"types": ["logs"], "log_group": "/", "start_time": since(LOG_START), **polled, **reach}
    }


def events_queue() -> dict[str, Any]:
    queue = {"cloudwatch_sqs_queue_name": "bench", "regions": ["us-east-1"], "auto_event_type": True}
    return {"service-events-all": queue}


def of_logs(events: int, groups: int = GROUPS) -> tuple[object, ...]:
    return ("--groups", groups, "--events", events)


def ours(bench: Bench, config: Path, lines: int, *aws: object) -> Cost:
    with bench.service(AWS, *aws) as port:
        return collect(bench, port, config, lines).cost


def theirs(bench: Bench, what: str, *aws: object) -> Cost:
    with bench.service(AWS, *aws) as port:
        return bench.run([PYTHON, "-m", "tests.bench.alone", what, f"http://127.0.0.1:{port}"])


def logs(bench: Bench) -> Measured:
    config = bench.configuration(aws_input(log_groups()), "logs")
    sizes = (20_000 if bench.quick else 400_000, 4_000)
    found: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(bench.rounds):
        for size in sizes:
            found.setdefault(("ours", size), []).append(ours(bench, config, size, *of_logs(size)))
            found.setdefault(("alone", size), []).append(theirs(bench, "logs", *of_logs(size)))
    return compared(bench, "logs", found, sizes)


def eventbridge(bench: Bench) -> Measured:
    config = bench.configuration(aws_input(events_queue()), "events")
    sizes = (2_000 if bench.quick else 30_000, 200)
    found: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(bench.rounds):
        for size in sizes:
            found.setdefault(("ours", size), []).append(ours(bench, config, size, "--messages", size))
            found.setdefault(("alone", size), []).append(theirs(bench, "messages", "--messages", size))
    return compared(bench, "eventbridge", found, sizes)


IDLE = 5


def beside(bench: Bench) -> Measured:
    """Compare wall clocks of a queue with idle services beside it and of the queue alone."""
    corpus = bench.corpus("vpc", files(bench, 400))
    idle = {f"idle-{number}": log_groups()["bench-logs"] for number in range(IDLE)}
    configs = [
        bench.configuration(aws_input({**flow_logs(), **more}), f"beside-{len(more)}") for more in (idle, {})
    ]
    lives: list[list[Lived]] = [[], []]
    for _ in range(bench.rounds):
        for config, found in zip(configs, lives, strict=True):
            with bench.service(AWS, "--folder", corpus.folder) as port:
                found.append(collect(bench, port, config, corpus.events))
    ours, alone = (corpus.events / middle(found, lambda one: one.moving) for found in lives)
    return Measured("live-beside", ours, alone)


def compared(
    bench: Bench, work: str, found: dict[tuple[str, int], list[Cost]], sizes: tuple[int, int]
) -> Measured:
    large, small = sizes
    rates = {who: net(found[who, large], found[who, small], large - small) for who in ("ours", "alone")}
    bench.peaks[work] = rates["ours"].peak
    return Measured(work, rates["ours"].cpu, rates["alone"].cpu, rates["ours"].peak)


PERIOD, DELAY = 60, 180
_ROOM_SECONDS = 40.0
"""What a run needs of a period: in the next one another window is due, whose calls would be counted too."""


def metrics_service(windows: int, now: float) -> dict[str, Any]:
    begin = (int(now) - DELAY) // PERIOD * PERIOD - windows * PERIOD
    polled = {"regions": ["us-east-1"], "request_period_in_seconds": 1, "requests_per_second": FAST}
    return {"metrics-all": {"period": PERIOD, "delay": DELAY, "start_time": since(begin * 1000), **polled}}


def metric_run(bench: Bench, metrics: int) -> tuple[Cost, int]:
    """Collect the points of one window of each metric; returns the cost and the calls of GetMetricData."""
    port_file, log = bench.folder / "fake-port", bench.folder / "log"
    command = [PYTHON, "-m", "tests.bench.metrics_aws", str(port_file), str(metrics)]
    port_file.unlink(missing_ok=True)
    fake = start(command, {}, bench.folder / "fake.log")
    try:
        bench.wait(
            lambda: port_file.exists() and bool(port_file.read_text()), fake, bench.folder / "fake.log"
        )
        port = int(port_file.read_text())
        left = PERIOD - time.time() % PERIOD
        time.sleep(left if left < _ROOM_SECONDS else 0)
        config = bench.configuration(aws_input(metrics_service(1, time.time())), "metrics")
        base, began = bench.count(), time.monotonic()
        process = start(
            [PYTHON, "-m", "flows", "run", "--config", str(config), "--interval", "1"], endpoint(port), log
        )
        with surely_ended(process):
            bench.wait(lambda: bench.count() >= base + metrics, process, log)
            calls = control(f"http://127.0.0.1:{port}", "served_counts")
            process.terminate()
            cost = ended(process, began, asked=True, log=log)
    finally:
        fake.kill()
        fake.wait()
    return cost, int(calls["cloudwatch.GetMetricData"])


def fewest(metrics: int) -> int:
    return math.ceil(metrics * len(STATISTICS) / QUERIES)


def metric_calls(bench: Bench) -> Measured:
    count = 250 if bench.quick else 2_050
    cost, calls = metric_run(bench, count)
    bench.peaks["metric-calls"] = cost.peak
    return Measured("metric-calls", calls, fewest(count), cost.peak, note=f"{count} metrics")
