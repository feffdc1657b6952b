"""`python -m tests.chaos`: the long forms of all scenes, and a table of what was lost and what came twice."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.scenes import Outcome, drained, killed_collector, killed_receiver, reset_connections
from tests.fakes.certs import make_certs
from tests.fakes.collector import Launch, Stage
from tests.fakes.ministack import Ministack

ONE, PAIR = Launch("bytewax"), Launch("bytewax", processes=2)
SCENES: dict[str, Callable[[Stage], Outcome]] = {
    "kill": lambda stage: killed_collector(stage, 20, 2000, ONE),
    "kill-cluster": lambda stage: killed_collector(stage, 5, 500, PAIR),
    "receiver": lambda stage: killed_receiver(stage, 10, 1000, ONE),
    "reset": lambda stage: reset_connections(stage, 50, 1500, ONE),
    "drain": lambda stage: drained(stage, 600, ONE),
    "drain-cluster": lambda stage: drained(stage, 600, PAIR),
}


def main() -> int:
    """Play the scenes; 0 when nothing was lost and repeats stayed within what was at risk."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="which ones (all)")
    chosen = parser.parse_args().scenes or list(SCENES)
    console, numbers, outcomes = Console(width=None if sys.stdout.isatty() else 150), count(1), []
    with Ministack() as aws, tempfile.TemporaryDirectory(prefix="chaos-") as name:
        certs = make_certs(Path(name) / "certs")
        for scene in chosen:
            folder = Path(name) / scene
            stage = Stage(aws, lambda text: f"{text}-{next(numbers)}", certs, folder)
            console.print(f"{scene} …")
            outcomes.append(SCENES[scene](stage))
    console.print(table(outcomes))
    return 0 if all(outcome.good for outcome in outcomes) else 1


def table(outcomes: list[Outcome]) -> Table:
    """Return the result as a table. at risk: what the guarantee allows to come twice."""
    made = Table()
    made.add_column("scene", no_wrap=True)
    for name in ("times", "sent", "received", "lost", "repeated", "at risk", "torn", "drain s", ""):
        made.add_column(name, justify="right", no_wrap=True)
    for one in outcomes:
        seen = one.verdict
        numbers = (one.times, seen.sent, seen.received, seen.lost, seen.repeated, one.allowed, seen.torn)
        seconds = f"{one.seconds:.1f}" if one.seconds else "-"
        made.add_row(
            one.scene, *(f"{number:,}" for number in numbers), seconds, "ok" if one.good else "FAILED"
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
