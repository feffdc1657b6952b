"""The plan beside what was spent: of each service, what a month was to cost and what this one will cost."""

import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from rich.table import Table

from flows.catalogue.prices import usd_of
from flows.commands.plan import DAYS_A_MONTH, Row
from flows.config.load import SettingsError
from flows.process.money import FOLDER
from sources.aws.spending.book import files, joined, month_of
from sources.aws.spending.budget import Month


class Actual(Struct):
    """One service this month. usd, calls, size (bytes received): so far. since: epoch seconds.

    planned_usd: a month. planned_calls: a day.
    """

    input: str
    service: str
    planned_usd: float = 0.0
    planned_calls: float = 0.0
    usd: float = 0.0
    calls: int = 0
    size: int = 0
    since: float = 0.0
    forecast_usd: float = 0.0


def actual(rows: Sequence[Row], state: Path | None, now: float) -> list[Actual]:
    """Return plan and spending of each service. state: the recovery directory. Raises SettingsError."""
    books = files(state / FOLDER) if state else []
    if not books:
        hint = "run it first, with a state; --actual DIR names its directory"
        raise SettingsError("nothing was counted yet", str(state or "no state directory"), hint)
    found: dict[tuple[str, str], Actual] = {}
    for row in rows:
        one = found.setdefault((row.input, row.service), Actual(row.input, row.service))
        one.planned_usd += row.usd
        one.planned_calls += row.calls
    for key, counts in joined(books).items():
        if key.month == month_of(now):
            name = key.service or "collector"
            one = found.setdefault((key.input, name), Actual(key.input, name))
            one.usd += counts.units * usd_of(key.action)
            one.calls += counts.calls
            one.size += counts.size
            one.since = min(one.since or counts.since, counts.since)
    for one in found.values():
        one.forecast_usd = Month.of(now).forecast(one.usd, one.since) if one.since else 0.0
    return [*found.values()]


def table(found: Sequence[Actual], now: float) -> Table:
    """Return one line for each service."""
    made = Table(box=None, pad_edge=False, show_footer=True)
    made.add_column("input", "total")
    made.add_column("service")
    for name, value in (
        ("plan USD/month", sum(one.planned_usd for one in found)),
        (f"spent {time.strftime('%Y-%m', time.gmtime(now))}", sum(one.usd for one in found)),
        ("expected", sum(one.forecast_usd for one in found)),
    ):
        made.add_column(name, f"{value:,.2f}", justify="right")
    for name in ("plan calls/day", "calls/day", "GB read"):
        made.add_column(name, justify="right")
    for one in found:
        days = max((now - one.since) / 86_400, 1 / 24) if one.since else DAYS_A_MONTH
        money = (one.planned_usd, one.usd, one.forecast_usd)
        made.add_row(
            one.input,
            one.service,
            *(f"{usd:,.2f}" for usd in money),
            f"{one.planned_calls:,.0f}",
            f"{one.calls / days:,.0f}",
            f"{one.size / 1e9:,.2f}",
        )
    return made
