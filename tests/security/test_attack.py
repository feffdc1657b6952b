"""The short form of `make attack`: every attack on one running collector, one after the other."""

import pytest

from tests.fakes.receivers import need
from tests.security.attack import grammar
from tests.security.attack.rows import ROWS
from tests.security.attack.world import Honest, Row, World, attacked, play

ENOUGH_BYTES = 1 << 30
QUICK = tuple(name for name in ROWS if not name.startswith(("A2 ", "A7 ", "A14 ")))
"""Those that do not go on for longer than a test may; their parts have tests of their own."""


@pytest.mark.timeout(300)
def test_attacks_cost_nobody_else_anything(tmp_path):
    """Nothing lost or forged, no death, no refused probe, within a gibibyte, while honest events flow."""
    need("rsyslog")
    with attacked(tmp_path) as world:
        row = play(world, "all", _in_a_row, 1.0)
    assert not _cost(row), row.told
    assert 0 < row.peak < ENOUGH_BYTES
    assert row.events


def _in_a_row(world: World, honest: Honest) -> str:
    for name in QUICK:
        ROWS[name](world, honest)
    return ", ".join(grammar.thing(world, seed) for seed in range(20))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in ROWS if name not in QUICK])
def test_long_attacks_cost_nobody_else_anything(name, tmp_path):
    """The same for attacks that take a minute."""
    need("rsyslog")
    with attacked(tmp_path) as world:
        row = play(world, name, ROWS[name], 5.0)
    assert not _cost(row), row.told


def _cost(row: Row) -> int:
    return row.lost + row.forged + row.crashes + row.refused
