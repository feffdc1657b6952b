"""Named events of what is spent: log line and metric together."""

import logging
from pathlib import Path

from sources.threads import Payer
from transforms.telemetry import add, gauge, say


def asked(payer: Payer, action: str, size: int) -> None:
    """Count a call of AWS, each retry too, and the bytes of its reply. Bounded by the configuration."""
    labels = {**payer._asdict(), "action": action}
    add("aws_calls", "Requests sent to AWS, retries too, by action", **labels)
    add("aws_received_bytes", "Bytes of AWS's replies, by action", size, **labels)


def spending_not_kept(where: Path | str | None, error: Exception) -> None:
    """Warn that what was spent may not survive a restart, or that part of it was not read."""
    what = "what was spent is not kept"
    say(logging.WARNING, "spending_not_kept", where=where, what=what, error=error)


def cost(payer: Payer, usd: float) -> None:
    """Show what a service has cost this month."""
    text = "What calls of AWS have cost this month (UTC), by list price"
    gauge("cost_usd", text, *payer._fields).labels(*payer).set(usd)


def budget(name: str, usd: float, spent: float, forecast: float) -> None:
    """Show a budget, what of it is spent, and what will be at the end of the month."""
    for metric, text, value in (
        ("budget_usd", "What may be spent a month", usd),
        ("budget_spent_usd", "What is spent of a budget this month", spent),
        ("budget_forecast_usd", "What will be spent of a budget by the end of the month", forecast),
    ):
        gauge(metric, text, "budget").labels(name).set(value)


def not_kept(count: int) -> None:
    """Show how many budgets are exceeded, or let work wait."""
    gauge("budgets_not_kept", "Budgets that are or will be exceeded, or let work wait").set(count)


def budget_changed(name: str, state: str, usd: float, spent: float, forecast: float) -> None:
    """Log that work is slowed or stopped for a budget, that it is or will be exceeded, or is kept again."""
    level = logging.INFO if state == "kept" else logging.WARNING
    figures = {"usd_per_month": usd, "spent": round(spent, 2), "forecast": round(forecast, 2)}
    say(level, "budget_changed", budget=name, state=state, **figures)
