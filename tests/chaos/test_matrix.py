"""The matrix in its short form: each receiver, one collector, every fault in turn (hazards 19, 20 and 22)."""

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.matrix import HASTY, run
from tests.chaos.targets import TARGETS

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", TARGETS)
def test_h19_h20_h22_no_fault_loses_an_event(stage, name):
    """Kills, resets, stalls, half-open connections, certificates, DNS and AWS's own failures: 0 lost."""
    target = TARGETS[name]
    outcome = run(
        stage, target, [(one, one.short) for one in FAULTS.values() if not one.why_not(name)], HASTY
    )
    assert outcome.good, outcome


def test_every_cell_is_a_fault_or_has_a_reason():
    """What is left out of the matrix names a receiver of it and says why; the long form plants 200 faults."""
    reasons = [pair for fault in FAULTS.values() for pair in fault.senseless]
    assert all(name in TARGETS and reason for name, reason in reasons)
    cells = [fault for fault in FAULTS.values() for name in TARGETS if not fault.why_not(name)]
    assert sum(fault.full.times for fault in cells) >= 200
