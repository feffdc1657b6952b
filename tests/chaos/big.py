"""`python -m tests.chaos.big`: peak memory on objects of gigabytes, and a bomb that ends in quarantine.

The objects are gzip members of 8 MiB, repeated while they are served, and the receiver counts lines only:
the one process whose memory matters is the collector.
"""

import gzip
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.fakes.bigs3 import BigS3, Repeated, notice
from tests.fakes.certs import make_certs
from tests.fakes.collector import Collector, Site, Stage, configuration, output, services
from tests.fakes.corpus import corpus
from tests.fakes.ministack import Ministack
from tests.fakes.process import wait_until
from tests.fakes.tls_sink import TlsSink

MIB, GIB = 1 << 20, 1 << 30
LIMIT_BYTES = 400 * MIB
_UNIT_BYTES = 8 * MIB
_READ_BYTES = 1 * MIB


@dataclass(frozen=True, slots=True)
class Weighed:
    """How a huge object went. peak_bytes: largest resident size of the collector."""

    name: str
    size: int
    due: int
    arrived: int
    peak_bytes: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.arrived == self.due and self.peak_bytes < LIMIT_BYTES


class Counting:
    """A receiver's manner: count lines, keep none."""

    def __init__(self) -> None:
        self.lines = 0
        self._lock = threading.Lock()

    def __call__(self, _sink: TlsSink, connection: socket.socket) -> None:
        buffer = bytearray(_READ_BYTES)
        while size := connection.recv_into(buffer):
            with self._lock:
                self.lines += buffer.count(b"\n", 0, size)
        connection.unwrap()


def lines_of(kind: str, size: int) -> list[bytes]:
    """Return about `size` bytes of unlike events of one type."""
    found: list[bytes] = []
    total = seed = 0
    while total < size:
        seed += 1
        fresh = [event.line for sample in corpus({kind: 3}, seed) for event in sample.expected]
        total += sum(map(len, fresh))
        found += fresh
    return found


def cloudtrail(size: int) -> Repeated:
    """Return a CloudTrail object of about `size` bytes when inflated."""
    lines = lines_of("cloudtrail", _UNIT_BYTES)
    unit, last = b",".join(lines) + b",", lines[-1]
    times = size // len(unit)
    parts = (b'{"Records":[', unit, last + b"]}")
    head, body, tail = (gzip.compress(part, 1, mtime=0) for part in parts)
    return Repeated(head, body, times, tail, len(lines) * times + 1)


def vpc(size: int) -> Repeated:
    """Return a VPC flow log of about `size` bytes when inflated."""
    lines = lines_of("vpc", _UNIT_BYTES)
    lines = [line for line in lines if len(line.split()) == len(lines[0].split())]
    unit = b"\n".join(lines) + b"\n"
    times = size // len(unit)
    head = (
        b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
        b"start end action log-status\n"
    )
    return Repeated(
        gzip.compress(head, mtime=0), gzip.compress(unit, 1, mtime=0), times, b"", len(lines) * times
    )


def bomb() -> Repeated:
    """Return 5 MB that inflate to 5 GB: no line end, no event, only zeros."""
    unit = gzip.compress(bytes(64 * MIB), 9, mtime=0)
    return Repeated(b"", unit, 5 * GIB // (64 * MIB), b"")


def weigh(stage: Stage, name: str, kind: str, thing: Repeated, size: int, timeout: float) -> Weighed:
    """Let a collector take one huge object and tell its peak memory."""
    site, counting = stage.site(), Counting()
    with BigS3() as s3, TlsSink(stage.certs, behaves=counting) as sink:
        collector = prepare(stage, site, sink.port, s3)
        key = f"AWSLogs/1/{name}.gz"
        s3.objects[f"{site.buckets[kind]}/{key}"] = thing
        stage.aws.send(site.queues[kind], notice(site.buckets[kind], key, thing.size, thing.etag))
        began = time.monotonic()
        try:
            collector.start()
            wait_until(lambda: settled(collector, site) and counting.lines >= thing.lines, timeout, name)
            peak, seconds = collector.peak_bytes(), time.monotonic() - began
            collector.drain()
        finally:
            collector.kill()
        return Weighed(name, size, thing.lines, counting.lines, peak, seconds)


def prepare(stage: Stage, site: Site, port: int, s3: BigS3) -> Collector:
    """Return a collector of all types whose objects come from the big S3."""
    chosen = services([site], auto=True)
    quarantine = str(stage.folder / "quarantine")
    settings = configuration(chosen, output(port, stage.certs), stage.folder, quarantine=quarantine)
    collector = stage.collector(settings)
    collector.environment["AWS_ENDPOINT_URL_S3"] = s3.url
    return collector


def settled(collector: Collector, site: Site) -> bool:
    """Tell whether no message waits; the collector must stay alive."""
    assert collector.alive, collector.tail()
    return site.waiting() == 0


PLAN: dict[str, tuple[str, Callable[[], Repeated], int]] = {
    "cloudtrail": ("audits_s3", lambda: cloudtrail(2 * GIB), 2 * GIB),
    "vpc": ("flowlogs", lambda: vpc(5 * GIB), 5 * GIB),
    "bomb": ("flowlogs", bomb, 5 * GIB),
}


def main() -> int:
    """Weigh the long forms, or those named; 0 when all arrived within the memory limit."""
    numbers, good = count(1), True
    with Ministack() as aws, tempfile.TemporaryDirectory(prefix="big-") as folder:
        certs = make_certs(Path(folder) / "certs")
        for name in sys.argv[1:] or PLAN:
            kind, make, size = PLAN[name]
            stage = Stage(aws, lambda text: f"{text}-{next(numbers)}", certs, Path(folder) / name)
            one = weigh(stage, name, kind, make(), size, 900)
            good = good and one.good
            told = f"{one.arrived:,} of {one.due:,} events, peak {one.peak_bytes / MIB:.0f} MiB"
            verdict = "ok" if one.good else "FAILED"
            sys.stdout.write(f"{name} {size / GIB:.0f} GiB: {told}, {one.seconds:.0f} s: {verdict}\n")
            sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
