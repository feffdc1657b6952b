"""`make bench-delivery`: what a receipt costs, and what gzip costs, beside devo-sdk in the same run.

    python -m tests.bench.delivery [--quick] [--only receipts|window|throughput] [--json FILE]

Receivers and the way to them are processes of their own. Times are wall times of the sending thread; CPU is
its process's. Machines differ: read the shares and ratios.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devo.sender import Sender, SenderConfigSSL
from devo.sender.data import DevoSenderException

from flows.demo.receiver import make_certificates
from sinks.outputs import Output, opener
from sinks.settings import parse_output
from transforms.block import Block, Origin

TAG, HOST = "cloud.aws.vpc.flow", "bench-host"
EVENT_BYTES = 300
RATE = 50_000  # events a second, for the table of receipts: 15 MB/s
INTERVALS, ROUND_TRIPS = (1.0, 5.0, 10.0), (0.0, 0.05)
TARGET_SHARE = 0.03
"""Of the time, at an interval of 10 s and a round trip of 50 ms."""


def event(number: int) -> bytes:
    """Return an event of 300 bytes that compresses about as flow logs do."""
    noise = (number * 2_654_435_761) % 2**64
    text = f"2 123456789012 eni-{noise:016x} 10.{number % 251}.{noise % 251}.7 172.31.16.{noise % 199} "
    text += f"{1024 + noise % 60_000} 443 6 {noise % 97} {noise % 90_001} 1767322800 1767322860 ACCEPT OK "
    return text.encode().ljust(EVENT_BYTES - 1, b"%d" % (noise % 10)) + b"\n"


def block(events: int) -> Block:
    return Block(b"".join(map(event, range(events))), events, Origin("bench"), TAG)


@contextmanager
def process(*arguments: object) -> Iterator[None]:
    started = subprocess.Popen([sys.executable, "-m", *map(str, arguments)])
    try:
        yield
    finally:
        started.kill()
        started.wait()


def port_in(file: Path) -> int:
    while not file.exists() or not file.read_text():
        time.sleep(0.02)
    return int(file.read_text())


def output(folder: Path, port: int, window: int, **options: Any) -> Output:
    certs = folder / "certs"
    files = {"chain": certs / "chain.crt", "cert": certs / "demo.crt", "key": certs / "demo.key"}
    config = {"address": "127.0.0.1", "port": port, "host": HOST, **files, **options}
    return opener(parse_output("bench", {"type": "devo_platform", "config": config}), window)()


@dataclass
class Run:
    """What one run of an output took. Units: seconds, bytes."""

    wall: float = 0.0
    cpu: float = 0.0
    events: int = 0
    receipts: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Part of the time that went into receipts."""
        return sum(self.receipts) / self.wall


def receipt(to: Output, run: Run) -> None:
    began = time.monotonic()
    to.begin()
    to.finish()
    run.receipts.append(time.monotonic() - began)


def paced(to: Output, seconds: float, interval: float) -> Run:
    """Write at `RATE`, take a receipt each `interval`; the first block opens the connection beforehand."""
    piece, run = block(RATE // 50), Run()
    to.write(piece)
    receipt(to, Run())
    began = time.monotonic()
    due = began + interval
    while (now := time.monotonic()) < began + seconds:
        ahead = run.events / RATE - (now - began)
        if ahead > 0:
            time.sleep(min(ahead, 0.02))
            continue
        to.write(piece)
        run.events += piece.count
        if time.monotonic() >= due:
            receipt(to, run)
            due += interval
    run.wall = time.monotonic() - began
    return run


def flat_out(to: Output, events: int, piece: Block) -> Run:
    """Write as fast as it goes, with one receipt at the end; a full window takes its own."""
    run, began, cpu = Run(), time.monotonic(), time.process_time()
    while run.events < events:
        to.write(piece)
        run.events += piece.count
    receipt(to, run)
    run.wall, run.cpu = time.monotonic() - began, time.process_time() - cpu
    return run


def receipts(folder: Path, port: int, *, quick: bool) -> list[dict[str, Any]]:
    print("\nReceipts at 50,000 events/s (15 MB/s): share of the time, target 3 % at 10 s and 50 ms")
    print("rtt ms  interval s  receipts  median ms  worst ms   share  target")
    rows = []
    for rtt in ROUND_TRIPS:
        with distance(folder, port, rtt) as near:
            for interval in INTERVALS[:1] if quick else INTERVALS:
                to = output(folder, near, 1 << 29)
                run = paced(to, interval * (3.2 if interval > 1 else 5.2), interval)
                to.close()
                rows.append(receipt_row(rtt, interval, run))
    return rows


def receipt_row(rtt: float, interval: float, run: Run) -> dict[str, Any]:
    middle, worst = statistics.median(run.receipts) * 1000, max(run.receipts) * 1000
    aimed = (rtt, interval) == (ROUND_TRIPS[-1], INTERVALS[-1])
    verdict = ("met" if run.share < TARGET_SHARE else "MISSED") if aimed else ""
    line = f"{rtt * 1000:6.0f} {interval:11.0f} {len(run.receipts):9} {middle:10.1f} {worst:9.1f}"
    print(f"{line} {run.share:7.2%}  {verdict}", flush=True)
    return {"rtt": rtt, "interval": interval, "median_ms": middle, "worst_ms": worst, "share": run.share}


def windows(folder: Path, port: int, *, quick: bool) -> list[dict[str, Any]]:
    print("\nReceipts of full windows, flat out: the window's size decides how often")
    print("rtt ms  window MiB    MB/s  of the one without")
    rows, piece = [], block(3495)
    for rtt in ROUND_TRIPS:
        with distance(folder, port, rtt) as near:
            free = 0.0
            for size in (2048, 64) if quick else (2048, 256, 64, 16):
                to = output(folder, near, size << 20)
                run = flat_out(to, 600_000 if quick else 3_000_000, piece)
                to.close()
                speed = run.events * EVENT_BYTES / run.wall / 1e6
                free = free or speed
                print(f"{rtt * 1000:6.0f} {size:11} {speed:7.0f} {speed / free:19.0%}", flush=True)
                rows.append({"rtt": rtt, "window": size, "mb_s": speed, "ratio": speed / free})
    return rows


@contextmanager
def distance(folder: Path, port: int, rtt: float) -> Iterator[int]:
    file = folder / f"distance-{rtt}"
    file.unlink(missing_ok=True)
    with process("tests.bench.distance", file, port, rtt):
        yield port_in(file)


def sdk(folder: Path, port: int, events: int, *, zipped: bool) -> Run:
    """Write with devo-sdk, one `send` per event, as its users do."""
    certs = folder / "certs"
    config = SenderConfigSSL(
        ("127.0.0.1", port),
        key=str(certs / "demo.key"),
        cert=str(certs / "demo.crt"),
        chain=str(certs / "chain.crt"),
    )
    sender = Sender(config)
    lines = block(1000).payload.splitlines()
    run, began, cpu = Run(), time.monotonic(), time.process_time()
    while run.events < events:
        for line in lines:
            sender.send(tag=TAG.encode(), msg=line, hostname=HOST.encode(), zip=zipped)
        run.events += len(lines)
    sender.flush_buffer()
    run.wall, run.cpu = time.monotonic() - began, time.process_time() - cpu
    with suppress(DevoSenderException):
        sender.close()
    return run


GZIP = {"threshold_for_using_gzip_in_transport_layer": -1}


def throughput(folder: Path, port: int, *, quick: bool) -> list[dict[str, Any]]:
    piece, scale = block(3495), 1 if quick else 8

    def ours(events: int, **options: Any) -> Callable[[], Run]:
        def run() -> Run:
            with closing(output(folder, port, 1 << 26, **options)) as to:
                return flat_out(to, events * scale, piece)

        return run

    runs: dict[str, Callable[[], Run]] = {
        "devo-sdk send": lambda: sdk(folder, port, 15_000 * scale, zipped=False),
        "devo-sdk zip": lambda: sdk(folder, port, 15_000 * scale, zipped=True),
        "ours, lines": ours(500_000),
        "ours, gzip 1": ours(200_000, **GZIP, compression_level=1),
        "ours, gzip 6": ours(30_000, **GZIP, compression_level=6),
    }
    print(
        "\nThroughput of one connection over TLS, events of 300 bytes; ratios to devo-sdk's own of that form"
    )
    print("sender              events   events/s  ev/cpu-s  wall ratio  cpu ratio")
    rows: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        best = min((run() for _ in range(1 if quick else 3)), key=lambda one: one.wall / one.events)
        rows[name] = {"wall": best.events / best.wall, "cpu": best.events / best.cpu}
        peer = rows["devo-sdk zip" if "gzip" in name or "zip" in name else "devo-sdk send"]
        ratios = [rows[name][each] / peer[each] for each in ("wall", "cpu")]
        print(
            f"{name:14} {best.events:11,} {rows[name]['wall']:10,.0f} {rows[name]['cpu']:9,.0f}"
            f" {ratios[0]:10.1f}x {ratios[1]:9.1f}x",
            flush=True,
        )
    return [{"sender": name, **row} for name, row in rows.items()]


TABLES = {"receipts": receipts, "window": windows, "throughput": throughput}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.delivery")
    parser.add_argument("--quick", action="store_true", help="short runs, about 20 s in all")
    parser.add_argument("--only", choices=TABLES)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="devo-aws-bench-") as name:
        folder = Path(name)
        make_certificates(folder / "certs")
        with process("tests.bench.receiver", folder / "certs", folder / "port", folder / "count"):
            port = port_in(folder / "port")
            for table in [args.only] if args.only else TABLES:
                results[table] = TABLES[table](folder, port, quick=args.quick)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
