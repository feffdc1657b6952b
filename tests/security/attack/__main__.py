"""`make attack`: attacks on a running collector in a gibibyte while honest events flow; what they cost.

python -m tests.security.attack [--only A8] [--hold SECONDS] [--random N --minutes M --seed S] [--json FILE]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.security.attack import grammar
from tests.security.attack.rows import ROWS
from tests.security.attack.world import Row, World, attacked, play

_HEAD = f"{'attack':28}  peak MiB  disk MiB   honest  late p99 s   lost  forged  crashes  probes refused"


def line(row: Row) -> str:
    """Return a row of the table."""
    counts = f"{row.lost:5}  {row.forged:6}  {row.crashes:7}  {row.refused:14}"
    sizes = f"{row.peak / 2**20:8.0f}  {row.disk / 2**20:8.0f}"
    verdict = "" if row.good else "FAILED"
    return f"{row.name[:28]:28}  {sizes}  {row.events:7}  {row.p99:10.1f}  {counts}  {verdict}"


def total(rows: Iterable[Row]) -> Row:
    """Return the sum of rows."""
    rows = list(rows)
    found = Row("all", max(row.peak for row in rows), max(row.disk for row in rows))
    for row in rows:
        found.events, found.late = found.events + row.events, found.late + row.late
        found.lost, found.forged = found.lost + row.lost, found.forged + row.forged
        found.crashes, found.refused = found.crashes + row.crashes, found.refused + row.refused
    return found


def run(world: World, attacks: Iterable[tuple[str, object]], hold: float) -> list[Row]:
    """Play attacks one after the other and print the table."""
    sys.stdout.write(f"limit {world.limit.most >> 20} MiB by {world.limit.how}\n{_HEAD}\n")
    rows = []
    for name, attack in attacks:
        row = play(world, name, attack, hold)
        rows.append(row)
        sys.stdout.write(f"{line(row)}\n{'' if row.good else f'    {row.told[:500]}' + chr(10)}")
        sys.stdout.flush()
    sys.stdout.write(f"{line(total(rows))}\n")
    return rows


def main(argv: list[str] | None = None) -> int:
    """Play; 0 when nothing was lost, forged, crashed, refused, and honest events came in time."""
    parser = argparse.ArgumentParser(prog="make attack")
    parser.add_argument("--only", default="", help="attacks whose name begins so, separated by commas")
    parser.add_argument(
        "--hold", type=float, default=10.0, help="seconds of honest traffic after each attack"
    )
    parser.add_argument(
        "--random", type=int, default=0, metavar="N", help="N random messages and objects instead"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="that these are spread over")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(argv)
    if asked.random:
        attacks, hold = grammar.attacks(asked.random, asked.minutes * 60, asked.seed), 0.0
    else:
        wanted = tuple(f"{one} " for one in asked.only.split(",")) if asked.only else ("",)
        attacks, hold = [pair for pair in ROWS.items() if pair[0].startswith(wanted)], asked.hold
    with tempfile.TemporaryDirectory(prefix="attack-") as folder, attacked(Path(folder)) as world:
        rows = run(world, attacks, hold)
        if not all(row.good for row in rows):
            sys.stdout.write(world.collector.tail(3000))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) | {"late": row.p99} for row in rows], indent=1))
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
