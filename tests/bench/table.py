"""The issue's table as data, and how it is shown. Pure: nothing is measured here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What one work shall reach.

    floor: what `measured` is compared with. figure: what `bound` is about, the ratio measured / floor or the
    value itself. better: on which side of `bound` it shall be. unit: of measured and floor.
    """

    work: str
    title: str
    floor: str
    bound: float
    unit: str = "ev/cpu-s"
    better: Literal["at least", "at most"] = "at least"
    figure: Literal["ratio", "value"] = "ratio"


TARGETS: tuple[Target, ...] = (
    Target("vpc", "VPC flow, raw", "isal + replace + TLS", 0.80),
    Target("cloudfront", "CloudFront", "isal + replace + TLS", 0.80),
    Target("umbrella", "Umbrella", "isal + replace + TLS", 0.80),
    Target("vpc-json", "VPC flow, format: json", "isal + pyarrow.csv + join + TLS", 0.80),
    Target("vpc-parquet", "VPC flow, Parquet", "pyarrow + cast + join + TLS", 0.80),
    Target("cloudtrail", "CloudTrail, auto_event_type", "isal + msgspec + TLS", 1.05),
    Target("vpc-copy", "VPC flow, raw, beside copying", "copy limit: isal + TLS", 0.80),
    Target("cloudfront-copy", "CloudFront, beside copying", "copy limit: isal + TLS", 0.80),
    Target("umbrella-copy", "Umbrella, beside copying", "copy limit: isal + TLS", 0.80),
    Target("cloudtrail-copy", "CloudTrail, beside copying", "copy limit: isal + TLS", 0.55),
    Target("vpc-json-alone", "VPC flow, json, beside pyarrow", "pyarrow alone, not sent", 0.90),
    Target("vpc-parquet-alone", "VPC flow, Parquet, beside pyarrow", "pyarrow alone, not sent", 0.90),
    Target("logs", "CloudWatch Logs", "boto3 alone, thrown away", 0.75),
    Target("eventbridge", "EventBridge in SQS", "boto3 alone, thrown away", 1.80),
    Target("live-large", "live, objects of 1 MB+, 40 ms", "replay, wall clock", 0.85, "events/s"),
    Target("live-small", "live, objects of 10 KB, 40 ms", "boto3 alone, GETs", 0.80, "objects/s"),
    Target("before-10k", "CPU of a live object, 10 KB", "the round's first commit", 0.60, "us", "at most"),
    Target("before-1k", "CPU of a live object, 1 KB", "the round's first commit", 0.60, "us", "at most"),
    Target("live-beside", "live, 5 idle services beside it", "the same alone, wall clock", 0.85, "events/s"),
    Target("processes", "two processes", "one process, wall clock", 1.8, "events/s"),
    Target("processes-cpu", "CPU of an event, two processes", "one process", 1.05, "us", "at most"),
    Target(
        "latency-light",
        "put to receiver, 2 objects/s, p99",
        "bare loop, median",
        0.3,
        "s",
        "at most",
        "value",
    ),
    Target(
        "latency-busy", "put to receiver, 80 % of peak, p99", "bare loop, median", 1, "s", "at most", "value"
    ),
    Target("peak", "peak memory of any of these", "-", 300, "MiB", "at most", "value"),
    Target("memory-services", "ten services, idle", "-", 80, "MiB", "at most", "value"),
    Target("memory-inputs", "peak of 500 inputs", "-", 250, "MiB", "at most", "value"),
    Target("memory-workers", "peak of 64 workers", "-", 350, "MiB", "at most", "value"),
    Target("start", "start to first event", "import boto3, bytewax", 1.6, "s", "at most"),
    Target("sqs-calls", "SQS calls per object, full queues", "-", 0.25, "calls", "at most", "value"),
    Target("metric-calls", "GetMetricData per window", "fewest possible", 1.0, "calls", "at most"),
)
PEERS: tuple[Target, ...] = (
    Target("devo-sdk", "devo-sdk, send() loop", "devo-sdk", 25),
    Target("fluent-bit", "Fluent Bit", "Fluent Bit", 10),
    Target("rsyslog", "rsyslog (+ gunzip)", "rsyslog", 6),
    Target("syslog-ng", "syslog-ng (+ gunzip)", "syslog-ng", 6),
    Target("tenzir", "Tenzir", "Tenzir", 3),
)
"""Others on the same files: measured is ours, floor is theirs."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run found. floor: 0 = none. note: what a reader must know. skipped: why there is none.

    samples: what it is a figure of, for a plot.
    """

    work: str
    measured: float = math.nan
    floor: float = 0.0
    peak_mib: float = 0.0
    note: str = ""
    samples: tuple[float, ...] = ()
    skipped: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.floor if self.floor else math.nan


def met(target: Target, found: Measured) -> bool | None:
    """Tell whether it is met; None when that cannot be told."""
    figure = found.ratio if target.figure == "ratio" else found.measured
    if found.skipped or not math.isfinite(figure):
        return None
    return figure >= target.bound if target.better == "at least" else figure <= target.bound


def verdict(target: Target, found: Measured) -> str:
    if found.skipped:
        return f"skipped: {found.skipped}"
    told = met(target, found)
    return "inputs too small to tell" if told is None else "met" if told else "NOT MET"


def number(value: float) -> str:
    """Show three significant digits, or whole numbers with commas."""
    if not math.isfinite(value) or not value:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bound(target: Target) -> str:
    sign = "≥" if target.better == "at least" else "≤"
    if target.figure == "value":
        return f"{sign} {target.bound:g}"
    return f"{sign} {target.bound:.0%}" if target.bound <= 1 else f"{sign} {target.bound:g} x"


def ratio(target: Target, found: Measured) -> str:
    if not math.isfinite(found.ratio):
        return "-"
    return f"{found.ratio:.0%}" if target.bound <= 1 else f"{found.ratio:.2f} x"


WIDTHS = (34, 9, 11, 11, 8, 8)
HEADS = ("work", "unit", "measured", "floor", "ratio", "target")


def heading() -> str:
    return line((*HEADS, "verdict"))


def cells(target: Target, found: Measured) -> tuple[str, ...]:
    shown = (number(found.measured), number(found.floor), ratio(target, found), bound(target))
    last = verdict(target, found) + (f" ({found.note})" if found.note else "")
    return (target.title, target.unit, *shown, last)


def line(values: Sequence[str]) -> str:
    """Lay out one line: the first two to the left, figures to the right, the verdict as long as it is."""
    fixed = zip(values, WIDTHS, strict=False)
    padded = [f"{text:<{width}}" if at < 2 else f"{text:>{width}}" for at, (text, width) in enumerate(fixed)]
    return "  ".join([*padded, values[-1]])


def as_json(found: Iterable[Measured], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return the rows for machines, in the table's order; what was not measured is left out."""
    by_work = {one.work: one for one in found}
    return [
        {
            **asdict(target),
            **asdict(by_work[target.work]),
            "measured": finite(by_work[target.work].measured),
            "floor": finite(by_work[target.work].floor),
            "ratio": finite(by_work[target.work].ratio),
            "samples": [round(one, 4) for one in by_work[target.work].samples],
            "met": met(target, by_work[target.work]),
        }
        for target in targets
        if target.work in by_work
    ]


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def target(work: str) -> Target:
    return next(one for one in (*TARGETS, *PEERS) if one.work == work)
