"""Bodies that drip, as many as there are places and more: honest objects of their bucket go on."""

import threading
import time

import pytest

from sources.queues.s3 import S3Opener
from tests.fakes.process import wait_until
from tests.sources.objects.fake_s3 import FakeS3
from tests.sources.queues.leasing import Rig, aws_error
from tests.sources.queues.test_s3 import announced, reader
from tests.sources.test_bulkheads import MANY

LARGE = b"honest line\n" * 20_000
SMALL = b"honest line\n"
_TICK_SECONDS = 0.25


class Drip:
    """A body of which so many bytes a second come."""

    def __init__(self, data: bytes, rate: int, ended: threading.Event) -> None:
        self.left, self.step, self.ended = data, int(rate * _TICK_SECONDS), ended

    def read(self, size: int) -> bytes:
        if self.ended.wait(_TICK_SECONDS):
            raise OSError("the test is over")
        data, self.left = self.left[: min(size, self.step)], self.left[min(size, self.step) :]
        return data

    def close(self) -> None:
        pass


class DrippingS3(FakeS3):
    """Keys that begin with `drip` come at `rate` bytes a second."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate, self.ended = rate, threading.Event()

    def get_object(self, **asked):
        if self.ended.is_set():
            raise aws_error("GetObject", "AccessDenied", 403)
        reply = super().get_object(**asked)
        if asked["Key"].startswith("drip"):
            reply["Body"] = Drip(reply["Body"].read(), self.rate, self.ended)
        return reply


def late(number: int, rate: int, size: int) -> list[float]:
    """Return how late each honest object came, the slowest last."""
    s3 = DrippingS3(rate)
    rig = Rig(options=MANY, opener=S3Opener("flowlogs", s3.account, reader))
    lane = rig.lane()
    began: dict[str, float] = {}
    found: dict[str, float] = {}

    def driven() -> bool:
        for item in lane.next_batch():
            key = item.origin.object.rpartition("/")[2]
            if key in began:
                found.setdefault(key, time.monotonic() - began[key])
        lane.snapshot()
        return len(found) == len(began)

    def driven_for(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            driven()
            time.sleep(0.01)

    def send(key: str, data: bytes) -> None:
        s3.put(key, data)
        rig.sqs.send(announced(s3, key))

    try:
        for n in range(number):
            send(f"drip{n}", b"slow\n" * (size // 5))
        driven_for(2)
        for n in range(6):
            for kind, data in (("large", LARGE), ("small", SMALL)):
                began[f"{kind}{n}"] = time.monotonic()
                send(f"{kind}{n}", data)
            driven_for(0.5)
        wait_until(driven, 100, "all honest objects", every=0.01)
    finally:
        s3.ended.set()
        rig.close()
    return sorted(found.values())


@pytest.mark.parametrize(
    ("number", "rate", "size"),
    [
        (16, 900, 10_000_000),
        (16, 1200, 10_000_000),
        (32, 1200, 10_000_000),
        (64, 1200, 10_000_000),
        (64, 900, 60_000),
        (64, 1200, 60_000),
    ],
)
def test_a14_honest_objects_beside_bodies_that_drip(number, rate, size, figures):
    """Just below the least throughput, and above it, where they may be read for days."""
    found = late(number, rate, size)
    told = f"{number} bodies of {size} bytes at {rate} B/s"
    figures(f"{told}: honest ones {found[-1]:.1f} s late, the median {found[len(found) // 2]:.1f} s")
