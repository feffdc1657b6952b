"""The curves as data: what grows, over which values, and how its cost is judged. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """name: of the plot's file. axis: what x is. amount_grows: the work grows with x (else it is shared out).

    why: the paragraph of docs/performance.md, beside its figures.
    """

    name: str
    title: str
    axis: str
    full: tuple[int, ...]
    quick: tuple[int, ...]
    amount_grows: bool
    why: str


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. events: how many. cpu: seconds net of a start. wall: seconds, net too. peak_mib."""

    x: int
    events: int
    cpu: float
    wall: float
    peak_mib: float

    @property
    def per_cpu(self) -> float:
        return self.events / self.cpu if self.cpu > 0 else math.nan

    @property
    def per_second(self) -> float:
        return self.events / self.wall if self.wall > 0 else math.nan


CURVES: tuple[Curve, ...] = (
    Curve(
        "size",
        "Throughput against object size",
        "bytes of one object, inflated",
        (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000),
        (1_000, 100_000, 10_000_000),
        amount_grows=False,
        why="Replay of VPC flow logs, about the same volume in objects of each size. A small object "
        "pays for its opening, its origin and a block of its own; from about a megabyte on only "
        "its bytes count. Memory does not follow the size: whatever the object, a chunk of 1 MiB "
        "at a time is inflated and cut.",
    ),
    Curve(
        "objects",
        "Cost against number of objects",
        "objects of 1 KB in the queue",
        (1, 10, 100, 1_000, 10_000, 100_000),
        (10, 100, 1_000),
        amount_grows=True,
        why="Live, from a queue that announces them all, at an AWS without latency. Each object is "
        "one GET and a tenth of a receive and of a delete. Its ledger entry ends with its epoch, "
        "so that memory holds what is under way, not what has been.",
    ),
    Curve(
        "workers",
        "Throughput against workers",
        "worker threads of one process",
        (1, 2, 4, 8, 16, 32, 64),
        (1, 4, 16),
        amount_grows=False,
        why="Replay with `-w N`. Inflating and TLS release Python's lock, the rest does not: a second "
        "worker helps as far as there is a second core, further ones only take turns. There are "
        "eight lanes for ever, so that live no more than eight workers of a process have work of "
        "one service.",
    ),
    Curve(
        "processes",
        "Throughput against processes",
        "processes of one cluster",
        (1, 2, 3, 4),
        (1, 2),
        amount_grows=False,
        why="Live, one queue shared by a local cluster. Blocks never cross processes, so that they "
        "share nothing but the epoch's end. A machine with fewer cores than processes, a receiver "
        "and an AWS to run beside them shows their number, not the collector's.",
    ),
    Curve(
        "groups",
        "Cost against log groups",
        "log groups",
        (1, 5, 20, 100, 500),
        (1, 20),
        amount_grows=False,
        why="Live, the same number of CloudWatch Logs events spread over all groups, without a limit "
        "of requests. Each group is at least one FilterLogEvents a poll, whether it has events or "
        "not: that, not the events, is what grows. AWS allows five of them a second "
        "in some regions, ten in most.",
    ),
    Curve(
        "metrics",
        "Cost against metrics",
        "metrics of one region",
        (1, 100, 1_000, 5_000, 20_000),
        (100, 500),
        amount_grows=True,
        why="Live, one period of each CloudWatch metric. A request brings 100 metrics with five "
        "statistics each, the most that GetMetricData allows, and its answer is read, compared "
        "with what was sent before, and written as one event per metric.",
    ),
    Curve(
        "inputs",
        "Cost against inputs",
        "inputs of one process, each an identity of its own",
        (1, 10, 100, 500),
        (1, 10),
        amount_grows=True,
        why="Live, one object of 1 KB for each input, from a queue they share; starts and drains are in it. "
        "An input is a session, a client of SQS (and of S3 once it reads), a receiver and eight lanes. What "
        "botocore knows of AWS is read once for all, threads start when there is work for them, and with "
        "many inputs idle lanes sleep up to 2 s and a queue is asked for up to 10 s at a time.",
    ),
)


def costs(curve: Curve, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return (x, cost): CPU-seconds of all the work where it grows with x, else of one event."""
    return [
        (one.x, one.cpu if curve.amount_grows else one.cpu / one.events)
        for one in points
        if one.cpu > 0 and one.events
    ]


def exponent(pairs: Sequence[tuple[float, float]]) -> float:
    """Return how cost grows, x to the power of this, by least squares over the upper half of the points.

    nan with fewer than two of them.
    """
    upper = pairs[len(pairs) // 2 :] if len(pairs) > 3 else pairs
    if len(upper) < 2:
        return math.nan
    logs = [(math.log(x), math.log(cost)) for x, cost in upper]
    mean_x, mean_y = (sum(one[at] for one in logs) / len(logs) for at in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread


LINEAR = 1.1
"""An exponent up to this counts as linear: a tenth for what a machine adds of its own."""


def growth(curve: Curve, points: Sequence[Point]) -> str:
    """Say in words how cost grows over the upper half of a curve."""
    found = exponent(costs(curve, points))
    if not math.isfinite(found):
        return "cannot be told from so few points"
    of = "all the work" if curve.amount_grows else "one event"
    judged = "not worse than linear" if found <= LINEAR else "WORSE THAN LINEAR"
    return f"CPU time of {of} goes with x^{found:.2f}: {judged}"


def curve(name: str) -> Curve:
    return next(one for one in CURVES if one.name == name)
