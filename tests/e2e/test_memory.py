"""What a replica of the queues takes: printed, idle and at work, as it is installed."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.fakes.collector import ROOT, Launch, configuration, output, services, settle
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import wait_until

_TIMEOUT = 90.0
_IDLE_SECONDS = 20.0


def mebibytes(pid: int, name: str) -> float:
    """Return a figure of a process's memory."""
    return int(re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@pytest.fixture
def as_installed(tmp_path) -> dict[str, str]:
    """Return variables that hide pyOpenSSL: tests bring it, an installation has none, botocore imports it."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/OpenSSL.py").write_text("raise ImportError('not installed')\n")
    return {"PYTHONPATH": f"{tmp_path / 'hidden'}:{ROOT}", "COLLECTOR_ONLY": "queues"}


@pytest.mark.full
def test_a_replica_fits_a_small_node(stage, rsyslog, figures, as_installed):
    """Four services of a queue replica: 80 MiB at most while idle, 300 MiB at work; printed."""
    site = stage.site()
    settings = configuration(services([site], auto=True), output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings, Launch("flows", interval=3))
    collector.environment = as_installed
    samples = corpus({kind: max(1, count // 5) for kind, count in FULL.items()}, seed=1)
    try:
        collector.start()
        pid = collector.children[0].pid
        wait_until(lambda: collector.children[0].catches(signal.SIGTERM), _TIMEOUT, "it runs")
        time.sleep(_IDLE_SECONDS)
        idle = mebibytes(pid, "VmRSS")
        site.put(samples)
        settle(collector, rsyslog, [site], expected(samples, auto=True).total(), _TIMEOUT)
        busy = mebibytes(pid, "VmHWM")
        collector.drain()
    finally:
        collector.kill()
    figures(f"memory of a queue replica: {idle:.0f} MiB idle, {busy:.0f} MiB at most at work")
    assert idle <= 80
    assert busy <= 300
