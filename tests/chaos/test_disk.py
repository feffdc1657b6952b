"""The disk of the recovery directory fills up in mid-run: one line, nothing acknowledged, nothing lost."""

import resource

from tests.chaos.load import Feeder
from tests.fakes.collector import Launch, configuration, output, services, settle, verdict
from tests.fakes.corpus import expected
from tests.fakes.process import wait_until

_FULL_BYTES = 100_000


def test_h22_a_disk_that_fills_up_in_mid_run(stage, rsyslog):
    """The collector ends with 1 and says where room is missing; with room it goes on, and nothing is lost."""
    site = stage.site(visibility=6)
    chosen = services([site], auto=True, visibility_timeout_seconds=6)
    settings = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings, Launch("flows", interval=1))
    try:
        with Feeder(site, 10, seed=7) as feeder:
            collector.start()
            rsyslog.wait_for(1, 60)
            child = collector.children[0]
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (_FULL_BYTES, _FULL_BYTES))
            wait_until(lambda: not child.alive, 60, "the collector ends")
            assert child.wait(1) == 1
            last = child.tail().splitlines()[-1]
            told = ("no room for the recovery directory (", "the recovery directory cannot be written (")
            assert last.startswith(told), child.tail()
            assert "Traceback" not in child.tail()
            assert "stack backtrace" not in child.tail()
            collector.start()
            before = rsyslog.size()
            wait_until(lambda: rsyslog.size() > before, 60, "events flow")
        due = expected(feeder.samples, auto=True)
        settle(collector, rsyslog, [site], due.total(), 60)
        collector.drain()
    finally:
        collector.kill()
    assert verdict(due, rsyslog.events()).lost == 0
