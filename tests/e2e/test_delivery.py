"""The acceptance: objects put into S3 arrive at real receivers, each line once, byte for byte, tag for tag.

By default every value of every dimension is covered once, on a quarter of the corpus. `make e2e` runs all
combinations on the four hundred objects.
"""

from itertools import product

import pytest

from tests.fakes.collector import (
    Launch,
    configuration,
    first_difference,
    output,
    services,
    settle,
    verdict,
)
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.receivers import KINDS, running

QUARTER = {kind: count // 4 for kind, count in FULL.items()}
LAUNCHES = (
    Launch("bytewax"),
    Launch("bytewax", workers=2),
    Launch("bytewax", processes=2),
    Launch("flows"),
    Launch("flows", processes=2, workers=2),
)
PAIRS = (
    ("rsyslog", False, Launch("bytewax")),
    ("syslog-ng", True, Launch("bytewax", workers=2)),
    ("rsyslog", True, Launch("bytewax", processes=2)),
    ("syslog-ng", False, Launch("flows", processes=2)),
)
_TIMEOUT = 60.0


def deliver(stage, kind, auto, launch, samples):
    """Send the samples through, and check lines, queues and exit code."""
    site = stage.site()
    due = expected(samples, auto=auto)
    for receiver in running(kind, stage.folder / "receiver", stage.certs):
        outputs = output(receiver.port, stage.certs)
        settings = configuration(services([site], auto=auto), outputs, stage.folder)
        collector = stage.collector(settings, launch).start()
        try:
            site.put(samples)
            settle(collector, receiver, [site], due.total(), _TIMEOUT)
            collector.drain()
        finally:
            collector.kill()
        receiver.stop()
        arrived = receiver.events()
        assert verdict(due, arrived).exactly_once, first_difference(due, arrived)
        assert site.waiting() == 0


@pytest.mark.parametrize(("kind", "auto", "launch"), PAIRS, ids=str)
def test_each_line_arrives_exactly_once(stage, kind, auto, launch):
    """Every event of every type arrives once, as it was, under its tag; the queues are empty afterwards."""
    deliver(stage, kind, auto, launch, corpus(QUARTER))


@pytest.mark.full
@pytest.mark.parametrize(("kind", "auto", "launch"), list(product(KINDS, (False, True), LAUNCHES)), ids=str)
def test_four_hundred_objects_arrive_exactly_once(stage, kind, auto, launch):
    """The same in every combination, on all four hundred objects."""
    deliver(stage, kind, auto, launch, corpus())
