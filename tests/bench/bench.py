"""What every measurement stands on: a receiver, corpora, runs of programs with their cost, medians.

The CPU time of a run is that of the process and its children, user and system, by the operating system. The
peak is theirs too; corpora are made in a process of their own, since Linux lets a child begin with its
parent's peak.
"""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.demo.receiver import make_certificates

ROOT = Path(__file__).parents[2]
INSTALLED = Path(__file__).with_name("installed")
"""Hides what tests bring and an installation has not."""

PYTHON = sys.executable
PATIENCE_SECONDS = 120.0
"""Without any line arriving."""
_CLOCK_SECONDS = 0.03
"""Less CPU time than this is within the clock's and the start-up's noise."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One process, start to end. cpu, wall: seconds. peak: MiB resident."""

    cpu: float
    wall: float
    peak: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu + other.cpu, self.wall + other.wall, max(self.peak, other.peak))


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per CPU-second and per second, net of start-up. peak: MiB."""

    cpu: float
    wall: float
    peak: float


@dataclass(frozen=True, slots=True)
class Made:
    """A corpus on disk. raw: bytes of the events inflated."""

    folder: Path
    files: int
    events: int
    raw: int


class Failed(Exception):
    """A program of the bench did not do its work."""


def environment(more: Mapping[str, str]) -> dict[str, str]:
    left_out = ("AWS_", "BYTEWAX_", "PYTHONDONTWRITEBYTECODE")  # an installed package is compiled
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": f"{INSTALLED}:{ROOT}", "PYTHONWARNINGS": "ignore", **more}


def start(command: Sequence[str], more: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(
            command, env=environment(more), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )


@contextmanager
def surely_ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill a process that the block has not seen to its end."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def ended(process: "subprocess.Popen[bytes]", began: float, *, asked: bool, log: Path) -> Cost:
    """Wait for a process and return its cost. asked: it was told to end, so any exit code will do."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not asked:
        raise Failed(f"{process.args!r}: {log.read_text(errors='replace')[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)


@dataclass(slots=True)
class Bench:
    """A folder, certificates and the cheap receiver of one run. rounds: of each pair."""

    folder: Path
    port: int
    rounds: int
    quick: bool
    peaks: dict[str, float] = field(default_factory=dict)
    made: dict[tuple[str, int], Made] = field(default_factory=dict)

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    def count(self) -> int:
        """Return how many lines have arrived since the start."""
        told = self.folder / "count"
        return int(told.read_text()) if told.exists() else 0

    def corpus(self, what: str | int, files: int) -> Made:
        """Return a corpus of a kind, or of VPC objects with so many lines; made once."""
        key = (str(what), files)
        if key not in self.made:
            folder = self.folder / "corpus" / f"{what}-{files}"
            command = [PYTHON, "-m", "tests.bench.corpus", str(folder), str(files), str(what)]
            told = subprocess.run(command, env=environment({}), check=True, capture_output=True).stdout
            self.made[key] = Made(folder, *json.loads(told))
        return self.made[key]

    def run(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> Cost:
        """Run a program to its end."""
        log, began = self.folder / "log", time.monotonic()
        return ended(start(command, more or {}, log), began, asked=False, log=log)

    def run_until(self, command: Sequence[str], lines: int, more: Mapping[str, str] | None = None) -> Cost:
        """Run a program that never ends by itself until so many lines have arrived; wall: until then."""
        log, began, aim = self.folder / "log", time.monotonic(), self.count() + lines
        process = start(command, more or {}, log)
        with surely_ended(process):
            self.wait(lambda: self.count() >= aim, process, log)
            arrived = time.monotonic() - began
            process.terminate()
            cost = ended(process, began, asked=True, log=log)
        return Cost(cost.cpu, arrived, cost.peak)

    def wait(self, true: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Wait for a condition as long as a process lives and lines arrive."""
        deadline, before = time.monotonic() + PATIENCE_SECONDS, self.count()
        while not true():
            if (now := self.count()) != before:
                deadline, before = time.monotonic() + PATIENCE_SECONDS, now
            gone = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if gone or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise Failed(f"{process.args!r} {'ended early' if gone else 'takes too long'}: {said}")
            time.sleep(0.01)

    def configuration(self, inputs: Mapping[str, Any], name: str = "config") -> Path:
        """Write a configuration whose only output is the receiver; state goes beside it."""
        files = {"chain": "chain.crt", "cert": "demo.crt", "key": "demo.key"}
        tls = {key: str(self.certs / file) for key, file in files.items()}
        output = {"address": "127.0.0.1", "port": self.port, "type": "SSL", **tls}
        path = self.folder / f"{name}.json"
        memory = {"name": "bench", "persistence": {"type": "memory"}}
        outputs = {"devo": {"type": "devo_platform", "config": output}}
        path.write_text(json.dumps({"globals": memory, "outputs": outputs, "inputs": dict(inputs)}))
        return path

    @contextmanager
    def service(self, module: str, *arguments: object) -> Iterator[int]:
        """Run a module of the bench that tells its port in a file, its first argument; yields the port."""
        told = self.folder / f"port-{module}"
        told.unlink(missing_ok=True)
        process = start(
            [PYTHON, "-m", module, str(told), *map(str, arguments)], {}, self.folder / f"log-{module}"
        )
        try:
            self.wait(
                lambda: told.exists() and bool(told.read_text()), process, self.folder / f"log-{module}"
            )
            yield int(told.read_text())
        finally:
            process.kill()
            process.wait()


@contextmanager
def bench(folder: Path, rounds: int, *, quick: bool) -> Iterator[Bench]:
    """Start the receiver."""
    make_certificates(folder / "certs")
    port_file, log = folder / "port", folder / "receiver.log"
    command = [
        PYTHON,
        "-m",
        "tests.bench.receiver",
        *map(str, (folder / "certs", port_file, folder / "count")),
    ]
    process = start(command, {}, log)
    made = Bench(folder, 0, rounds, quick)
    try:
        made.wait(lambda: port_file.exists() and bool(port_file.read_text()), process, log)
        made.port = int(port_file.read_text())
        yield made
    finally:
        process.kill()
        process.wait()


Program = Callable[[Made], Cost]


def paired(
    programs: Mapping[str, Program], large: Mapping[str, Made], small: Made, rounds: int
) -> dict[str, Rate]:
    """Run all programs in turns, each on its large corpus, then on the small one; rates are net of that."""
    costs: dict[tuple[str, bool], list[Cost]] = {}
    for _ in range(rounds):
        for big in (True, False):
            for who, program in programs.items():
                costs.setdefault((who, big), []).append(program(large[who] if big else small))
    return {
        who: net(costs[who, True], costs[who, False], large[who].events - small.events) for who in programs
    }


def net(large: Sequence[Cost], small: Sequence[Cost], events: int) -> Rate:
    """Return the rate of a large run net of a small one, by medians; nan where the difference is noise."""

    def rate(of: Callable[[Cost], float]) -> float:
        seconds = statistics.median(map(of, large)) - statistics.median(map(of, small))
        return events / seconds if seconds > _CLOCK_SECONDS else math.nan

    return Rate(rate(lambda one: one.cpu), rate(lambda one: one.wall), max(one.peak for one in large))


def machine(*, quick: bool) -> dict[str, Any]:
    """Tell where and how a run was made, for its JSON."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cores,
        "load_before": round(load, 1),
        "quiet": load < cores / 4,
        "python": platform.python_version(),
        "quick": quick,
    }
