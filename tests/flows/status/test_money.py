"""What was spent, and budgets that are not kept, on the status page."""

import pytest
from msgspec.structs import replace

from flows.status.group import Asked, merged
from flows.status.view import view
from tests.flows.status.acting import watch

SPENT = {"month": "2026-11", "spent": {"metrics-all aws metrics-all": 12.3, "collector": 0.2}}


def budget(state, spent=12.3):
    """Return where a budget stands, as plain data."""
    figures = {"usd_per_month": 15.0, "spent_usd": spent, "forecast_usd": 15.04}
    return {"name": "inputs.aws", "on_exceed": "slow", "state": state, **figures}


def state_of(*budgets):
    """Return a collector's state with these budgets."""
    acting = watch()
    acting.facts = replace(acting.facts, money=lambda: {**SPENT, "budgets": list(budgets)})
    return acting.state()


@pytest.mark.parametrize(("state", "level"), [("kept", "mute"), ("slowed", "warn"), ("stopped", "warn")])
def test_a_budget_stands_on_the_page(state, level):
    """The sum of the month and each budget are told; one that is not kept is yellow and stands first."""
    shown = view(state_of(budget(state)))
    assert shown["money"].text == (
        "AWS calls of 2026-11: 12.50 USD by list price; "
        f"inputs.aws is {state}: 12.30 of 15.00 USD, 15.04 expected."
    )
    assert shown["money"].level == level
    first = any(f"The budget of inputs.aws is {state}" in cell.text for cell in shown.values())
    assert first == (state != "kept")


def test_without_figures_nothing_is_said():
    """A collector that has asked nothing yet has an empty line."""
    assert view(watch().state())["money"].text == ""


def test_processes_share_a_budget():
    """Each process knows what all have spent: the greatest figure and the worst state are the group's."""
    parts = [state_of(budget("kept", 3.0)), state_of(budget("slowed", 5.0))]
    known = [(Asked(str(n), "127.0.0.1", n), part) for n, part in enumerate(parts)]
    found = merged("group", known, [], 1.0)["money"]
    assert [(one["spent_usd"], one["state"]) for one in found["budgets"]] == [(5.0, "slowed")]
    assert found["spent"] == SPENT["spent"]
