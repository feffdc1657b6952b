"""The capacity model: from measured figures to processes, queues, connections, money, first limit. Pure.

An object waits for its fetch, for the one core of its process, for the end of the running epoch, for the
receipt and for its deletion; until then its message is in flight. `simulation.py` plays the same by chance.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.catalogue.calls import DAY
from flows.catalogue.prices import TRAFFIC, usd_of
from flows.commands.plan import DAYS_A_MONTH

TB, MB, HOUR = 1e12, 1e6, 3_600


@dataclass(frozen=True, slots=True)
class Figures:
    """What one process was measured to do.

    events_per_second: of large objects, the lower of CPU and wall clock. objects_per_second: of small ones.
    peak_mib: resident. sqs_calls: per object.
    """

    events_per_second: float
    objects_per_second: float
    peak_mib: float
    sqs_calls: float


@dataclass(frozen=True, slots=True)
class Scale:
    """A load. tb_per_day: events inflated. Each account and region adds `least_objects` small ones a day."""

    name: str
    tb_per_day: float
    accounts: int = 1
    regions: int = 4


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is not measured. Sizes inflated; times in seconds.

    busy: rate of the busiest hour over the mean. spare: share of a process that is planned with.
    events_a_lookup: events of one account and region a day that LookupEvents would have to bring.
    behind: how long a message may wait before there are more replicas.
    """

    event_bytes: float = 114
    object_mb: float = 20
    least_objects: float = DAY / 300
    busy: float = 3
    spare: float = 0.7
    latency: float = 0.04
    epoch: float = 3
    receipt: float = 0.05
    connections_a_process: int = 3
    usd_core_hour: float = 0.0405
    usd_gib_hour: float = 0.0044
    events_a_lookup: float = 500_000
    frame_bytes: float = 50
    behind: float = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What reaches the collector in its busiest hour, each second; service: CPU-seconds of one object."""

    events: float
    objects: float
    service: float


@dataclass(frozen=True, slots=True)
class Answer:
    """processes, queues, connections: at least. memory_gib: of all processes. in_flight: messages.

    fewest, most: replicas in a mean hour and in the busiest, one more than do the work: one may have died, or
    is being replaced. per_replica: messages of each with which KEDA keeps the queue `behind` seconds long.
    aws_usd, compute_usd, traffic_usd: a month. limits: limit → how much of it is used.
    """

    scale: Scale
    load: Load
    processes: int
    queues: int
    connections: int
    memory_gib: float
    in_flight: float
    fewest: int
    most: int
    per_replica: int
    aws_usd: float
    compute_usd: float
    traffic_usd: float
    limits: Mapping[str, float]

    @property
    def first_limit(self) -> str:
        """The limit that is reached first when the load grows."""
        return max(self.limits, key=self.limits.__getitem__)


IN_FLIGHT, FIFO_IN_FLIGHT = 120_000, 20_000
LOOKUPS, LOOKUP_PAGE = 2, 50
GETS_A_PREFIX = 5_500
DEVO_CONNECTIONS = 1_000
"""Of one domain. Assumed: Devo publishes no number."""
MIB_A_CORE = 2_048
"""The smallest machines have so much memory for each core."""


def figures(rows: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Return what the bench's rows, by work, say about one process."""
    cpu, wall = (float(rows[work]["measured"]) for work in ("vpc", "live-large"))
    small, calls = (float(rows[work]["measured"]) for work in ("live-small", "sqs-calls"))
    return Figures(min(cpu, wall), small, float(rows["peak"]["measured"]), calls)


def load(scale: Scale, given: Assumed, one: Figures) -> Load:
    """Return the busiest hour's load: objects by volume, and the small ones that each account adds."""
    day = scale.tb_per_day * TB
    events = day / given.event_bytes / DAY * given.busy
    large = day / (given.object_mb * MB) / DAY * given.busy
    small = scale.accounts * scale.regions * given.least_objects / DAY * given.busy
    work = events / one.events_per_second + (large + small) / one.objects_per_second
    return Load(events, large + small, work / (large + small))


def processes(of: Load, given: Assumed) -> int:
    """Return how many processes of one core do the work with some to spare."""
    return max(1, math.ceil(of.objects * of.service / given.spare))


def waiting(of: Load, count: int) -> float:
    """Return the mean seconds that an object waits for the core of its process (M/D/1)."""
    busy = of.objects * of.service / count
    return busy * of.service / (2 * (1 - busy)) if busy < 1 else math.inf


def held(of: Load, count: int, given: Assumed) -> float:
    """Return how long a message is in flight: two calls, the core, half an epoch, the receipt."""
    return 2 * given.latency + waiting(of, count) + of.service + given.epoch / 2 + given.receipt


def answer(scale: Scale, one: Figures, given: Assumed | None = None) -> Answer:
    """Return what a load needs."""
    given = given or Assumed()
    of = load(scale, given, one)
    count = processes(of, given)
    in_flight = of.objects * held(of, count, given)
    queues = max(1, math.ceil(in_flight / (IN_FLIGHT * given.spare)))
    connections = count * given.connections_a_process
    limits = {name: used(of, in_flight, connections, given, one) for name, used in LIMITS.items()}
    a_day = of.objects / given.busy * DAY
    memory = count * one.peak_mib / 1024
    core = given.usd_core_hour * count + given.usd_gib_hour * memory
    out = of.events / given.busy * DAY * (given.event_bytes + given.frame_bytes) / 1e9
    return Answer(
        scale=scale,
        load=of,
        processes=count,
        queues=queues,
        connections=connections,
        memory_gib=memory,
        in_flight=in_flight,
        fewest=processes(Load(of.events, of.objects / given.busy, of.service), given) + 1,
        most=count + 1,
        per_replica=max(1, round(of.objects / count * given.behind)),
        aws_usd=monthly("s3:GetObject", a_day) + monthly("sqs:ReceiveMessage", a_day * one.sqs_calls),
        compute_usd=core * 24 * DAYS_A_MONTH,
        traffic_usd=monthly("traffic", out),
        limits=limits,
    )


def monthly(action: str, a_day: float) -> float:
    return a_day * DAYS_A_MONTH * (TRAFFIC.each if action == "traffic" else usd_of(action))


Used = Callable[[Load, float, int, Assumed, Figures], float]

LIMITS: Mapping[str, Used] = {
    "SQS, 120,000 in flight in one queue": lambda _l, held, _c, _g, _f: held / IN_FLIGHT,
    "SQS FIFO, 20,000 in flight in one queue": lambda _l, held, _c, _g, _f: held / FIFO_IN_FLIGHT,
    "LookupEvents, 2/s an account and region": lambda _l, _h, _c, given, _f: (
        given.events_a_lookup * given.busy / DAY / LOOKUP_PAGE / LOOKUPS
    ),
    "S3, 5,500 GETs/s of one prefix": lambda of, _h, _c, _g, _f: of.objects / GETS_A_PREFIX,
    "Devo, 1,000 connections (assumed)": lambda _l, _h, count, _g, _f: count / DEVO_CONNECTIONS,
    "memory, 2 GiB a core": lambda _l, _h, _c, _g, one: one.peak_mib / MIB_A_CORE,
}
"""Limit → share of it that a load uses in its busiest hour."""

SCALES: tuple[Scale, ...] = (
    Scale("1 TB a day", 1),
    Scale("10 TB a day", 10),
    Scale("100 TB a day", 100),
    Scale("10 TB a day, 1,000 accounts", 10, accounts=1_000),
)
