"""Rates of the last hour."""

import sys

from flows.status.history import ALL, STEP_SECONDS, History


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
    assert len(history._rings["hour"].counts["a"]) == 361


def test_a_source_has_its_own_charts():
    """Rate and lag of a place, of the hour and of the day, beside those of all; a new one begins late."""
    history = History()
    for step in range(8641):
        lags = {"a": 5.0 + 100 * (step > 8600), "b": 700.0} if step > 4000 else {"a": 5.0}
        totals = {"a": step * 10.0, **({"b": step * 990.0} if step > 4000 else {})}
        history.sample(step * STEP_SECONDS, totals, step * 1000.0, lags)
    found = {key: history.charts(key) for key in ("a", "b", ALL, "nobody")}
    assert [round(one) for one in found["a"]["day"]["rate"]] == [1] * 96
    assert found["a"]["day"]["lag"][:-1] == [5.0] * 95
    assert found["a"]["day"]["lag"][-1] == found["a"]["hour"]["lag"][-1] == 105.0
    assert len(found["b"]["day"]["lag"]) == 52
    assert {round(one) for one in found["b"]["hour"]["rate"]} == {99}
    assert {round(one) for one in found[ALL]["hour"]["rate"]} == {100}
    assert found[ALL]["hour"]["lag"] == [700.0] * 60
    assert found["nobody"] == {"hour": {"rate": [], "lag": []}, "day": {"rate": [], "lag": []}}


def test_a_thousand_sources_take_nine_megabytes(figures):
    """A source takes 8 KB however long it is watched."""
    history = History()
    for step in range(400):
        values = {f"source {number}": float(step) for number in range(1000)}
        history.sample(step * 300.0, values, 1.0, values)
    taken = sum(
        sys.getsizeof(samples)
        for ring in history._rings.values()
        for kept in (ring.counts, ring.gauges)
        for samples in kept.values()
    )
    figures(f"history of 1,000 sources: {taken / 1e6:.1f} MB")
    assert taken < 9_000_000
