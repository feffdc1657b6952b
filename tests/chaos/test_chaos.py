"""Short forms of the scenes: nothing is ever lost, and repeats stay within what was at risk."""

from tests.chaos.scenes import drained, killed_collector
from tests.fakes.collector import Launch

ONE = Launch("bytewax")
_DRAIN_SECONDS = 5.0


def test_h22_kill_9_repeats_one_interval_at_most(stage):
    """SIGKILL of the collector at random moments: 0 lost, repeats only of what had no receipt."""
    outcome = killed_collector(stage, 2, ONE)
    assert outcome.good, outcome


def test_h22_sigterm_with_a_full_pipeline(stage):
    """It ends with 0, soon, and the next start goes on: 0 lost and 0 repeated."""
    outcome = drained(stage, 150, ONE)
    assert outcome.verdict.exactly_once, outcome
    assert outcome.seconds < ONE.interval + _DRAIN_SECONDS
