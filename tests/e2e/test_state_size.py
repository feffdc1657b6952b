"""What a collector writes to its state, idle and busy: printed, beside what it holds."""

import time
from pathlib import Path

import pytest

from tests.fakes.collector import Launch, configuration, output, services, settle
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import wait_until

_TIMEOUT = 60.0
_DAY = 86_400


def written(pid: int) -> int:
    """Return how many bytes a process has made the kernel write to disks."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(text.partition("\nwrite_bytes: ")[2].split()[0])


@pytest.mark.full
@pytest.mark.parametrize("interval", [1, 3])
def test_s7_what_a_state_costs(stage, rsyslog, figures, interval):
    """Bytes to disk per epoch and day, idle and busy, are printed; the state itself stays small."""
    site = stage.site()
    settings = configuration(services([site], auto=True), output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings, Launch("flows", interval=interval))
    samples = corpus({kind: max(1, count // 5) for kind, count in FULL.items()}, seed=1)
    try:
        collector.start()
        site.put(samples[:1])
        rsyslog.wait_for(1, _TIMEOUT)
        pid = collector.children[0].pid
        site.put(samples[1:])
        before, began = written(pid), time.monotonic()
        settle(collector, rsyslog, [site], expected(samples, auto=True).total(), _TIMEOUT)
        busy = (written(pid) - before) / (time.monotonic() - began)
        wait_until(lambda: time.monotonic() - began > 5 * interval, _TIMEOUT, "it is idle")
        before, began = written(pid), time.monotonic()
        time.sleep(20)
        idle = (written(pid) - before) / (time.monotonic() - began)
        collector.drain()
    finally:
        collector.kill()
    size = sum(path.stat().st_size for path in collector.state.glob("part-*"))
    for name, rate in (("busy", busy), ("idle", idle)):
        each, day = rate * interval / 1024, rate * _DAY / 1e6
        figures(f"state, interval {interval} s, {name}: {each:.0f} KiB an epoch, {day:.0f} MB a day")
    assert size < 4 << 20
