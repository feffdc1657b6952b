"""Short forms of the scenes: nothing is ever lost, and repeats stay within what was at risk (hazard 22)."""

from tests.chaos.scenes import drained, killed_collector, killed_receiver, reset_connections
from tests.fakes.collector import Launch

ONE = Launch("bytewax")
_DRAIN_SECONDS = 5.0


def test_h22_kill_9_loses_nothing(stage):
    """SIGKILL of the collector at random moments: 0 lost, repeats only of what had no receipt."""
    outcome = killed_collector(stage, 3, 100, ONE)
    assert outcome.good, outcome


def test_h20_a_killed_receiver_loses_nothing(stage):
    """The receiver is killed and comes back: what it had not receipted is sent again."""
    outcome = killed_receiver(stage, 2, 100, ONE)
    assert outcome.good, outcome


def test_h20_reset_connections_lose_nothing(stage):
    """Connections are reset at random, in mid-line as well: 0 lost."""
    outcome = reset_connections(stage, 8, 100, ONE)
    assert outcome.good, outcome


def test_h22_sigterm_with_a_full_pipeline(stage):
    """It ends with 0, soon, and the next start goes on: 0 lost and 0 repeated."""
    outcome = drained(stage, 150, ONE)
    assert outcome.verdict.exactly_once, outcome
    assert outcome.seconds < ONE.interval + _DRAIN_SECONDS
