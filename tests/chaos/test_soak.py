"""The soak's own parts count and fit right; its short form runs with `make slow`."""

import random

import pytest

from tests.chaos.load import flow_lines
from tests.chaos.slope import calmed, slope, typical
from tests.chaos.soak import soak, table_bytes
from tests.chaos.tally import Tally

_HEAD = b"<14>Jan  1 00:00:00 host cloud.aws.vpc.flow: "


def framed(number, rows):
    return [_HEAD + line + b"\n" for line in flow_lines(number, rows).splitlines()]


def test_the_tally_tells_lost_repeated_and_torn_lines():
    """Each line of each object is told apart, also when the object was whole already."""
    tally, lines = Tally(5), [framed(number, 5) for number in range(3)]
    tally.take(b"".join(lines[0] + lines[1][:3]))
    tally.take(lines[1][0] + lines[0][4] + lines[1][3][:40] + b"\n")
    assert (tally.received, tally.repeated, tally.torn) == (10, 2, 1)
    assert tally.whole == {0}
    assert tally.lost(3) == 2 + 5


@pytest.mark.parametrize("fit", [slope, typical])
def test_a_slope_is_told_from_noise(fit):
    """Noise has no slope; a leak of a hundredth of the noise per sample has one."""
    rng = random.Random(1)
    noise = [(float(second), 100 + rng.gauss(0, 5)) for second in range(600)]
    leak = [(second, value + second * 0.05) for second, value in noise]
    flat, rising = fit(calmed(noise, 10)), fit(calmed(leak, 10))
    assert flat.none
    assert not rising.none
    assert rising.slope == pytest.approx(0.05, rel=0.2)
    assert rising.slope - flat.slope == pytest.approx(0.05, rel=0.01)


def test_one_step_tilts_the_line_more_than_the_median():
    """A new high-water mark late in a run counts less than half by Theil and Sen."""
    rng = random.Random(3)
    step = [(float(at), rng.gauss(0, 1) + 9 * (at > 80)) for at in range(100)]
    assert slope(step).slope > 0.05
    assert typical(step).slope < slope(step).slope / 2


@pytest.mark.parametrize(("fit", "count"), [(slope, 6), (slope, 40), (typical, 40)])
def test_the_margin_holds_what_it_says(fit, count):
    """Of many flat series one in twenty is taken for a slope, with few samples as with many."""
    rng = random.Random(2)
    fits = [fit([(float(at), rng.gauss(0, 1)) for at in range(count)]) for _ in range(2000)]
    assert sum(not fit.none for fit in fits) / len(fits) == pytest.approx(0.05, abs=0.02)


def test_the_table_of_recognised_objects_has_a_bound():
    """What a soak tells apart from a leak: it grows by less than 200 bytes an object, up to its bound."""
    assert 0 < table_bytes(1_000, 3_000) < 2_000 * 200
    assert table_bytes(150_000, 160_000) < 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_h19_h20_a_short_soak_loses_nothing(tmp_path):
    """A minute at fifty thousand events a second, with a fault every ten seconds: 0 lost."""
    report = soak(tmp_path, 60, 50_000, str)
    assert report.lost == 0, str(report)
