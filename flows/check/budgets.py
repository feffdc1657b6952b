"""Checks of what collecting may cost: budgets beside the plan, and what they never touch."""

from collections.abc import Iterator, Sequence

from flows.catalogue.guess import Guess
from flows.catalogue.service import Unit
from flows.check.finding import CheckContext, Finding, ok, warn
from flows.commands.plan import Row, plan
from flows.process.money import declared, payer_of

_REST = "queues delete what is older than their retention, and APIs forget: write slow where that matters"
_LEAST = 0.1
_SELDOM = "raise it: a queue deletes what is older than its retention, metrics are polled once in ten days"


def budgets(context: CheckContext) -> Iterator[Finding]:
    """Tell what each budget holds back, what it does not, and whether the plan fits in."""
    planned = plan(context.settings, Guess())
    for place, budget, covers in declared(context.settings):
        units = [unit for unit in context.units if covers(payer_of(unit))]
        free = sorted({unit.name for unit in units if unit.service.protected})
        held = sorted({unit.name for unit in units if not unit.service.protected})
        does = {"warn": "tells of", "slow": "slows", "stop": "stops"}[budget.on_exceed]
        told = f"{budget.usd_per_month:g} USD a month: {does} {', '.join(held) or 'nothing'}"
        never = f"; never slowed or stopped: {', '.join(free)}" if free else ""
        yield ok("budget", told + never, place)
        guarded = _usd(planned, [unit for unit in units if unit.service.protected])
        expected = _usd(planned, units)
        if expected > budget.usd_per_month:
            what = f"the plan says {expected:,.2f} USD a month, more than {budget.usd_per_month:g}"
            yield warn("budget", what, place, "see python -m flows plan, which tells what it assumes")
        left, others = budget.usd_per_month - guarded, expected - guarded
        if budget.on_exceed == "slow" and held and free and left <= others * _LEAST:
            what = f"{', '.join(free)} leave {max(left, 0):,.2f} USD of it, for what would cost {others:,.2f}"
            yield warn("budget", what, place, _SELDOM)
        if budget.on_exceed == "stop" and held:
            yield warn("budget", "stop lets work rest until the month turns", place, _REST)


def _usd(planned: Sequence[Row], units: Sequence[Unit]) -> float:
    """Return what the plan says of units, USD a month."""
    names = {(unit.account.name, unit.service.name) for unit in units}
    return sum(row.usd for row in planned if (row.input, row.service) in names)
