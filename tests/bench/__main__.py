"""`make bench`: what the collector costs beside the least that the work can cost, in one run.

Rates are events per CPU-second of the process (user + system, by the operating system's accounting), net of
start-up: a large run minus a small run. Runs of the collector and of the floor take turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.demo.receiver import make_certificates
from tests.bench.corpus import Corpus, make

TAGS = {
    "vpc": "flowlogs",
    "vpc-parquet": "flowlogs",
    "cloudtrail": "audits_s3",
    "cloudfront": "cloudfrontlogs",
    "umbrella": "cisco-umbrella",
}
TARGETS = {"vpc": 0.60, "vpc-parquet": 0.60, "cloudtrail": 0.60, "cloudfront": 0.60, "umbrella": 0.60}
HEAD = "work             events  collector ev/cpu-s  floor ev/cpu-s  ratio  target  peak MiB"
FILES = {"vpc": 100, "vpc-parquet": 40, "cloudtrail": 60, "cloudfront": 100, "umbrella": 100}


@dataclass(frozen=True)
class Cost:
    """One process, start to end. cpu, wall: seconds. peak: MiB resident."""

    cpu: float
    wall: float
    peak: float


def cost(command: list[str], env: dict[str, str]) -> Cost:
    began = time.monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, errors = process.communicate() if process.stderr is None else (None, process.stderr.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{errors.decode()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)


@contextmanager
def receiver(folder: Path) -> Iterator[int]:
    port_file = folder / "port"
    command = [sys.executable, "-m", "tests.bench.receiver", folder / "certs", port_file, folder / "count"]
    process = subprocess.Popen(command)
    try:
        while not port_file.exists() or not port_file.read_text():
            time.sleep(0.02)
        yield int(port_file.read_text())
    finally:
        process.kill()
        process.wait()


def configuration(folder: Path, port: int) -> Path:
    certs = folder / "certs"
    output = {"address": "127.0.0.1", "port": port, "type": "SSL"}
    output |= {
        "chain": str(certs / "chain.crt"),
        "cert": str(certs / "demo.crt"),
        "key": str(certs / "demo.key"),
    }
    path = folder / "config.json"
    settings = {
        "globals": {"name": "bench"},
        "outputs": {"devo": {"type": "devo_platform", "config": output}},
    }
    path.write_text(json.dumps({**settings, "inputs": {}}))
    return path


def commands(kind: str, corpus: Corpus, folder: Path, port: int) -> dict[str, list[str]]:
    certs, config = str(folder / "certs"), str(folder / "config.json")
    ours = [
        "-m",
        "flows",
        "replay",
        str(corpus.folder),
        "--service",
        TAGS[kind],
        "--output",
        "devo",
        "--config",
        config,
    ]
    floor = ["-m", "tests.bench.floor", kind, str(corpus.folder), certs, str(port)]
    return {"collector": [sys.executable, *ours, "--quiet"], "floor": [sys.executable, *floor]}


def rate(large: list[Cost], small: list[Cost], events: int) -> float:
    seconds = statistics.median(c.cpu for c in large) - statistics.median(c.cpu for c in small)
    return events / seconds


def measure(kind: str, files: int, rounds: int, folder: Path, port: int) -> dict[str, float]:
    large, small = make(kind, files, folder / kind / "large"), make(kind, 1, folder / kind / "small")
    costs: dict[tuple[str, str], list[Cost]] = {}
    for _ in range(rounds):
        for size, corpus in (("large", large), ("small", small)):
            for who, command in commands(kind, corpus, folder, port).items():
                costs.setdefault((who, size), []).append(cost(command, {}))
    events = large.events - small.events
    ours, floor = (rate(costs[who, "large"], costs[who, "small"], events) for who in ("collector", "floor"))
    peak = max(c.peak for c in costs["collector", "large"])
    return {"events": events, "collector": ours, "floor": floor, "ratio": ours / floor, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="a fifth of the files, one round")
    parser.add_argument("--only", help="one kind of data")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="devo-aws-bench-") as name:
        folder = Path(name)
        make_certificates(folder / "certs")
        with receiver(folder) as port:
            configuration(folder, port)
            print(HEAD)
            for kind in TAGS if args.only is None else [args.only]:
                files = max(4, FILES[kind] // (5 if args.quick else 1))
                got = results[kind] = measure(kind, files, 1 if args.quick else 3, folder, port)
                print(
                    f"{kind:12} {got['events']:10,.0f} {got['collector']:19,.0f} {got['floor']:15,.0f} "
                    f"{got['ratio']:6.0%} {TARGETS[kind]:7.0%} {got['peak']:9.0f}",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
