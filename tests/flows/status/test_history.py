"""Rates of the last hour."""

from flows.status.history import STEP_SECONDS, History


def filled(totals, began=0.0):
    history = History()
    for step, total in enumerate(totals):
        history.sample(began + step * STEP_SECONDS, {"a": total})
    return history


def test_a_rate_needs_two_samples():
    """Nothing is claimed before there is a difference."""
    assert History().rate("a") == 0
    assert filled([100]).rate("a") == 0
    assert filled([100]).curve("a") == []


def test_the_rate_is_of_the_last_minute():
    """What was before the last minute does not count."""
    assert filled([0, 9000, 9000, 9000, 9000, 9000, 9000, 9060, 9120]).rate("a") == 2.0


def test_the_curve_is_of_the_last_hour():
    """Sixty points, the newest last; the hour before is forgotten."""
    hours = [step * 10.0 for step in range(361)] + [3600 + step * 50.0 for step in range(361)]
    curve = filled(hours).curve("a")
    assert len(curve) == 60
    assert {round(rate) for rate in curve} == {5}


def test_memory_is_bounded():
    """However long it runs, an hour of samples is kept."""
    history = filled(range(5000))
    assert len(history._rings["hour"]._samples["a"]) == 361
