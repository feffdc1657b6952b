"""`make capacity`: from the bench's figures to what 1, 10 and 100 TB a day need; writes docs/capacity.md.

    python -m tests.bench.capacity [--bench FILE] [--page FILE] [--json FILE]

The model (`model.py`) is held against a simulation of queue and processes (`simulation.py`) in the same run.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.catalogue.prices import PRICES_OF
from tests.bench.model import LIMITS, SCALES, Answer, Assumed, Figures, answer, figures
from tests.bench.page import DOCS, FIGURES, where
from tests.bench.simulation import Seen, simulate

NEEDED = ("vpc", "live-large", "live-small", "sqs-calls", "peak")
_OBJECTS = 20_000
"""How many objects one simulation plays, 2,000 seconds at most."""


def simulated(said: Answer, given: Assumed) -> Seen:
    seconds = min(2_000.0, _OBJECTS / said.load.objects)
    return simulate(said.load, said.processes, given, seconds)


def needs(said: Answer) -> str:
    """Return a line of the table of needs."""
    money = f"{said.aws_usd:,.0f} | {said.compute_usd:,.0f} | {said.traffic_usd:,.0f}"
    rates = f"{said.load.events:,.0f} | {said.load.objects:,.1f}"
    sizes = f"{said.processes:,} | {said.queues} | {said.connections:,} | {said.memory_gib:,.1f}"
    return f"| {said.scale.name} | {rates} | {sizes} | {money} |"


def grown(said: Answer) -> str:
    """Return a line of the table of replicas."""
    return f"| {said.scale.name} | {said.fewest:,} | {said.most:,} | {said.per_replica:,} |"


def checked(said: Answer, seen: Seen) -> str:
    """Return a line of the table that compares model and simulation."""
    busy = said.load.objects * said.load.service / said.processes
    flying = f"{said.in_flight:,.0f} | {seen.in_flight:,.0f} | {seen.most_in_flight:,}"
    return f"| {said.scale.name} | {busy:.0%} | {seen.busy:.0%} | {flying} |"


def limited(name: str, answers: Sequence[Answer]) -> str:
    """Return a limit's line: how much of it each scale uses."""
    return f"| {name} | " + " | ".join(f"{said.limits[name]:.1%}" for said in answers) + " |"


def firsts(answers: Sequence[Answer]) -> str:
    """Say for each scale which limit comes first, and how far away it is."""
    return "\n".join(
        f"- {said.scale.name}: {said.first_limit}, at {1 / said.limits[said.first_limit]:,.1f} x its load"
        for said in answers
    )


def page(one: Figures, given: Assumed, answers: Sequence[Answer], seen: Sequence[Seen], told: str) -> str:
    """Return docs/capacity.md."""
    assumed = "\n".join(f"| {name} | {value:,g} |" for name, value in asdict(given).items())
    columns = " | ".join(said.scale.name for said in answers)
    ruler = " | ".join(["---", *["---:"] * len(answers)])
    return f"""# Capacity

Written by `python -m tests.bench.capacity` from the figures of `make bench`; do not edit. {told}

One process was measured to do {one.events_per_second:,.0f} events/s of large objects and
{one.objects_per_second:,.0f} objects/s of small ones at 40 ms, with {one.peak_mib:,.0f} MiB at most and
{one.sqs_calls:.2f} SQS calls per object. TB are of inflated events; rates are those of the busiest hour.

## What it takes

| scale | events/s | objects/s | processes | queues | connections | GiB | AWS | cores | traffic out |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(map(needs, answers))}

AWS (S3 and SQS requests), cores with their memory, and traffic are USD a month ({PRICES_OF}). Traffic is what
it costs to leave AWS without compression; none over a private link of the region. More accounts are more
objects: each account and region writes one every five minutes at least.

## Replicas

Queues are read by independent processes of one core each (`mode: replicas`), as many as the autoscaler says
between these; one more than do the work, since one may have died or is being replaced. KEDA counts messages,
so it keeps replicas only while messages wait: with so many for each (`queues.autoscaling.messagesPerReplica`)
for about {given.behind:g} s in the busiest hour.

| scale | mean hour | busiest hour | messagesPerReplica |
| --- | ---: | ---: | ---: |
{chr(10).join(map(grown, answers))}

## The first limit

{firsts(answers)}

A limit that belongs to one queue is moved by a second queue; LookupEvents by reading CloudTrail from S3
instead; Devo's by another domain. The share of each that is used:

| limit | {columns} |
| {ruler} |
{chr(10).join(limited(name, answers) for name in LIMITS)}

## Model and simulation

A message is in flight while its object is fetched, waits for the core of its process, and until the
epoch in which it was emitted has its receipt. The model adds means; the simulation plays {_OBJECTS:,} objects
that come at random to processes with epochs of their own. They agree within a tenth
(`tests/bench/test_model.py`).

| scale | busy, model | busy, simulated | in flight, model | in flight, simulated | at most |
| --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(checked(said, got) for said, got in zip(answers, seen, strict=True))}

## Assumed

Not measured here; `Assumed` in `tests/bench/model.py` says what each is.

| what | value |
| --- | ---: |
{assumed}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity")
    parser.add_argument("--bench", type=Path, default=FIGURES / "bench.json", help="figures of `make bench`")
    parser.add_argument("--page", type=Path, default=DOCS / "capacity.md")
    parser.add_argument("--json", type=Path, help="write the answers there too")
    args = parser.parse_args()
    found: dict[str, Any] = json.loads(args.bench.read_text())
    rows = {row["work"]: row for row in found["rows"] if row["measured"]}
    if missing := [work for work in NEEDED if work not in rows]:
        sys.exit(f"figures are missing: {', '.join(missing)} in {args.bench}: run make bench")
    one, given = figures(rows), Assumed()
    answers = [answer(scale, one, given) for scale in SCALES]
    seen = [simulated(said, given) for said in answers]
    args.page.write_text(text := page(one, given, answers, seen, where(found["machine"])))
    sys.stdout.write(text)
    if args.json:
        args.json.write_text(json.dumps([{**asdict(said), "first": said.first_limit} for said in answers]))


if __name__ == "__main__":
    main()
