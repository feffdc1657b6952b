"""Checks of what collecting may cost: budgets beside the plan, and what they never touch."""

from collections.abc import Iterator

from flows.catalogue.guess import Guess
from flows.check.finding import CheckContext, Finding, ok, warn
from flows.commands.plan import plan
from flows.process.money import declared, payer_of

_REST = "queues delete what is older than their retention, and APIs forget: write slow where that matters"


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
        names = {(unit.account.name, unit.service.name) for unit in units}
        expected = sum(row.usd for row in planned if (row.input, row.service) in names)
        if expected > budget.usd_per_month:
            what = f"the plan says {expected:,.2f} USD a month, more than {budget.usd_per_month:g}"
            yield warn("budget", what, place, "see python -m flows plan, which tells what it assumes")
        if budget.on_exceed == "stop" and held:
            yield warn("budget", "stop lets work rest until the month turns", place, _REST)
