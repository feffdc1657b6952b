"""What was put in, and what of it has arrived: compared event by event, tag and bytes."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from transforms.locks import Guard, guarded

_DIGEST_BYTES = 16


class Expected(NamedTuple):
    """One event that shall arrive: collected by which service, under which tag, with which bytes."""

    service: str
    tag: str
    message: bytes


class DemoProgress(NamedTuple):
    """Events of one service: how many were put in, how many of these have arrived."""

    service: str
    put_in: int
    arrived: int


class Found(Struct, frozen=True):
    """What came under one tag. arrived: all lines.

    missing: events put in that did not come. repeated: what came more often than it was put in. unknown:
    what was never put in, or not under this tag, or with other bytes. services: who collected how many.
    """

    tag: str
    arrived: int
    missing: int
    repeated: int
    unknown: int
    services: dict[str, int]


_LOCKS = (Guard("_lock", ("_open", "_whose", "_put_in", "_arrived", "_repeated", "_unknown", "_stopped")),)


@guarded(_LOCKS)
class Tally:
    """Counts arrivals against what was put in. Thread-safe."""

    def __init__(self, expected: Iterable[Expected]) -> None:
        self._lock = threading.RLock()
        due = [(_key(tag, message), (service, tag)) for service, tag, message in expected]
        self._open = Counter(key for key, _ in due)
        self._whose = dict(due)
        self._put_in = Counter(place for _, place in due)
        self._arrived: Counter[tuple[str, str]] = Counter()
        self._repeated: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._stopped = False

    def stop(self) -> None:
        """Count no more."""
        with self._lock:
            self._stopped = True

    def arrive(self, tag: str, message: bytes) -> None:
        """Note one event that has arrived."""
        key = _key(tag, message)
        with self._lock:
            if self._stopped:
                return
            if self._open[key] > 0:
                self._open[key] -= 1
                self._arrived[self._whose[key]] += 1
            elif key in self._whose:
                self._repeated[tag] += 1
            else:
                self._unknown[tag] += 1

    @property
    def complete(self) -> bool:
        """Tells whether everything that was put in has arrived."""
        with self._lock:
            return self._arrived == self._put_in

    @property
    def pure(self) -> bool:
        """Tells whether nothing else has arrived; a repeat is nothing else, delivery is at least once."""
        with self._lock:
            return not self._unknown

    def progress(self) -> list[DemoProgress]:
        """Return how far each service has come, in the order in which they were put in."""
        with self._lock:
            put_in, arrived = _by_service(self._put_in), _by_service(self._arrived)
        return [DemoProgress(service, put_in[service], arrived[service]) for service in put_in]

    def found(self) -> list[Found]:
        """Return what came under each tag, tags sorted."""
        with self._lock:
            tags = sorted({tag for _, tag in self._put_in} | self._unknown.keys())
            return [self._found(tag) for tag in tags]

    def _found(self, tag: str) -> Found:
        keys = [key for key in self._put_in if key[1] == tag]
        services = {key[0]: self._arrived[key] for key in keys if self._arrived[key]}
        put_in, came = sum(self._put_in[key] for key in keys), sum(services.values())
        repeated, unknown = self._repeated[tag], self._unknown[tag]
        return Found(tag, came + repeated + unknown, put_in - came, repeated, unknown, services)


def _by_service(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    for (service, _), count in counts.items():
        sums[service] += count
    return sums


def _key(tag: str, message: bytes) -> bytes:
    return blake2b(tag.encode() + b": " + message, digest_size=_DIGEST_BYTES).digest()
