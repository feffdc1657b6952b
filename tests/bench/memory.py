"""What a process takes while nothing comes, and with very many inputs or workers: resident MiB."""

import re
import signal
import time
from pathlib import Path
from statistics import median

import orjson

from flows.demo.configuration import EVENT_QUEUES, OBJECT_QUEUES, configuration
from flows.demo.embedded import EmbeddedAws, embedded_aws
from flows.demo.receiver import Certificates
from tests.bench import curves
from tests.bench.bench import PYTHON, Bench, ended, start, surely_ended
from tests.bench.table import Measured

_IDLE_SECONDS, _ROUNDS = 20.0, 3
INPUTS, WORKERS = 500, 64


def resident(pid: int) -> float:
    """Return what a process has in memory, MiB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def idle(bench: Bench, aws: EmbeddedAws) -> float:
    """Return what one process takes that collects all ten services, of which nothing comes."""
    files = (bench.certs / name for name in ("chain.crt", "server.pem", "demo.crt", "demo.key"))
    config = bench.folder / "ten.json"
    made = configuration(bench.port, Certificates(*files), time.time(), aws.keys)
    config.write_bytes(orjson.dumps({**made, "globals": {**made["globals"], "journal": "off"}}))
    command = [PYTHON, "-m", "flows", "run", "--config", str(config), "--state", str(bench.folder / "state")]
    log, began = bench.folder / "log", time.monotonic()
    process = start(command, {**aws.environment(), "AWS_EC2_METADATA_DISABLED": "true"}, log)
    with surely_ended(process):
        bench.wait(lambda: time.monotonic() - began > _IDLE_SECONDS, process, log)
        found = resident(process.pid)
        process.send_signal(signal.SIGTERM)
        ended(process, began, asked=True, log=log)
    return found


def services(bench: Bench) -> Measured:
    """Measure all ten services in one process, idle."""
    with embedded_aws(bench.folder) as aws:
        for queue in OBJECT_QUEUES.values():
            aws.announced_bucket(queue, queue)
        for queue in EVENT_QUEUES.values():
            aws.event_queue(queue)
        return Measured(
            "memory-services", median(idle(bench, aws) for _ in range(min(bench.rounds, _ROUNDS)))
        )


def inputs(bench: Bench) -> Measured:
    """Measure the peak of very many inputs, each with an object."""
    if bench.quick:
        return Measured("memory-inputs", skipped="takes a minute")
    return Measured("memory-inputs", curves.inputs(bench, INPUTS).cost.peak)


def workers(bench: Bench) -> Measured:
    """Measure the peak of very many worker threads."""
    peaks = (curves.workers(bench, WORKERS).cost.peak for _ in range(min(bench.rounds, _ROUNDS)))
    return Measured("memory-workers", median(peaks))
