"""The plan on a terminal, as plain lines, or as JSON."""

import sys
import time
from pathlib import Path

import orjson
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table

from flows.catalogue.guess import ASSUMPTIONS, Guess
from flows.catalogue.prices import PRICES_OF
from flows.commands import plan_actual
from flows.commands.plan import DAYS_A_MONTH, Row, plan, report, totals
from flows.commands.plan_actual import actual
from flows.config.load import load

_PLAIN_WIDTH = 110


def show_plan(config: Path | None, guess: Guess, *, as_json: bool, beside: Path | None = None) -> int:
    """Print the plan of a configuration.

    beside: a state directory whose spending stands beside it, `.` = the configuration's; None = none.
    """
    settings, now = load(config), time.time()
    rows = plan(settings, guess)
    state = settings.state_directory if beside == Path() else beside
    spent = None if beside is None else actual(rows, state, now)
    if as_json:
        found = report(rows, guess) | ({} if spent is None else {"actual": [asdict(one) for one in spent]})
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        return 0
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(table(rows) if spent is None else plan_actual.table(spent, now))
    console.print(assumed(guess), highlight=False)
    return 0


def table(rows: list[Row]) -> Table:
    """Return one line for each service and region."""
    made = Table(box=None, pad_edge=False, show_footer=True)
    made.add_column("input", "total")
    for name in ("service", "region", "mostly"):
        made.add_column(name)
    made.add_column("calls/day", f"{sum(row.calls for row in rows):,.0f}", justify="right")
    made.add_column("USD/month", f"{sum(row.usd for row in rows):,.2f}", justify="right")
    for (name, service, region), (calls, usd) in totals(rows).items():
        own = [row for row in rows if (row.input, row.service, row.region) == (name, service, region)]
        most = max(own, key=lambda row: (row.usd, row.calls)).action
        made.add_row(name, service, region or "-", most, f"{calls:,.0f}", f"{usd:,.2f}" if usd else "free")
    return made


def assumed(guess: Guess) -> str:
    """Return what the figures rest on, for people."""
    numbers = ", ".join(f"{one.of(guess):,.0f} {one.unit}" for one in ASSUMPTIONS)
    return (
        f"Assumed for each service, region and day: {numbers} (see --help). "
        f"{guess.processes} process{'es'[: 2 * (guess.processes != 1)]}; a month has {DAYS_A_MONTH} days. "
        f"Prices: {PRICES_OF}."
    )
