"""An hour without Devo, on fast clocks: nothing grows, spins or is lost (hazards 4, 20 and 22)."""

import pytest

from tests.chaos.outage import outage

_MIB = 1 << 20
_FASTER = 240.0


@pytest.mark.full  # a clock that runs 240 times as fast leaves a busy machine too little time
@pytest.mark.timeout(600)
def test_h04_h20_h22_an_hour_without_devo(tmp_path):
    """Memory is flat, leases are kept, cursors hold through a kill, nothing is asked in vain; all arrives."""
    report = outage(tmp_path, _FASTER)
    assert report.verdict.lost == 0, report
    held, most = report.leases
    assert held == most > 0, report
    assert report.calls["sqs.ChangeMessageVisibilityBatch"], report
    assert report.calls["sqs.ReceiveMessage"] == 0, report  # what cannot be held is not asked for
    assert report.growth < 16 * _MIB, report
    assert report.attempts < 600, report  # a back-off of at most 30 s, half of it on average
    assert report.log_lines < 2 * report.attempts + 100, report
