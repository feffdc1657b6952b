"""What the collector is fed with: mixed objects as they come, and large cheap ones whose lines count."""

import random
import threading
import time
from collections.abc import Sequence
from itertools import count
from typing import Self

from isal import igzip

from tests.fakes.collector import Site
from tests.fakes.corpus import Event, Sample, corpus

_LOT = 100
_ACCOUNT = b"000123456789"
_HEAD = (
    b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
    b"start end action log-status\n"
)
_TAGS = ("cloud.aws.vpc.unknown", "cloud.aws.vpc.flow")


def objects(count: int, seed: int) -> list[Sample]:
    """Return objects of all types in mixed order, `count` in all."""
    fifth = count // 5
    kinds = {"cloudtrail": fifth, "vpc": fifth, "parquet": fifth, "cloudfront": fifth, "umbrella": fifth}
    samples = corpus(kinds, seed)
    random.Random(seed).shuffle(samples)
    return samples


def flow_lines(number: int, rows: int) -> bytes:
    """Return the lines of a flow log that says in each line which object and which row it is.

    `2 000123456789 eni-<object> 10.… <ports> … <row> <row> ACCEPT OK`, about 100 bytes each.
    """
    return template(rows).replace(b"eni-?", b"eni-%010d" % number)


def template(rows: int) -> bytes:
    """Return the lines with `eni-?` where the object's number belongs."""
    if rows not in _TEMPLATES:
        line = b"2 %s eni-? 10.%d.%d.%d 10.0.0.9 %d 443 6 7 840 %d %d ACCEPT OK\n"
        _TEMPLATES[rows] = b"".join(
            line % (_ACCOUNT, row >> 16 & 255, row >> 8 & 255, row & 255, 1024 + row % 60_000, row, row + 60)
            for row in range(rows)
        )
    return _TEMPLATES[rows]


_TEMPLATES: dict[int, bytes] = {}


def flow_log(number: int, rows: int) -> tuple[str, bytes]:
    """Return key and gzip of such an object."""
    key = f"AWSLogs/{_ACCOUNT.decode()}/vpcflowlogs/us-east-1/2026/01/01/bulk-{number:010}.log.gz"
    return key, igzip.compress(_HEAD + flow_lines(number, rows), 1, mtime=0)


def bulk(number: int, rows: int) -> Sample:
    """Return such an object with the events that it must become."""
    key, body = flow_log(number, rows)
    events = (Event(*_TAGS, line) for line in flow_lines(number, rows).splitlines())
    return Sample("flowlogs", key, body, tuple(events))


class Feeder:
    """Puts mixed objects evenly, `rate` a second, in a thread of its own until `stop`; `put` adds others.

    samples: what has been put so far.
    """

    def __init__(self, site: Site, rate: float, seed: int) -> None:
        self._site, self._rate, self._seed = site, rate, seed
        self.samples: list[Sample] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def put(self, samples: Sequence[Sample]) -> None:
        """Put further objects now."""
        self._site.put(samples)
        self.samples += samples

    def stop(self) -> None:
        """End; what was begun is put."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        for number, sample in enumerate(s for lot in count() for s in objects(_LOT, self._seed + lot)):
            if self._stopped.wait(max(0.0, began + number / self._rate - time.monotonic())):
                return
            self._site.put([sample], threads=1)
            self.samples.append(sample)
