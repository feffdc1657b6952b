"""Independent processes (`flows run --processes N`) on the same queues: killed, drained, and asked as one."""

import json
import os
import signal
import urllib.request

from tests.e2e.test_cluster import members, running_state
from tests.fakes.collector import Launch, configuration, first_difference, output, services, settle, verdict
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import HOST, free_ports, wait_until

_TIMEOUT = 60.0
_VISIBILITY_SECONDS = 6
TRIO = Launch("replicas", processes=3)


def test_a_killed_process_keeps_nobody_else(stage, rsyslog):
    """One of three is killed: the other two live on as they were, and nothing is lost."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
    collector = stage.collector(configuration(chosen, output(rsyslog.port, stage.certs), stage.folder), TRIO)
    port = free_ports(1 + TRIO.processes)
    collector.environment["COLLECTOR_STATUS"] = str(port)
    samples = corpus({kind: count // 10 for kind, count in FULL.items()}, seed=5)
    try:
        collector.start()
        site.put(samples)
        rsyslog.wait_for(1, _TIMEOUT)
        old = members(collector.children[0].pid)
        assert len(old) == TRIO.processes
        os.kill(old[-1], signal.SIGKILL)
        more = corpus({kind: count // 20 for kind, count in FULL.items()}, seed=50)
        site.put(more)
        due = expected([*samples, *more], auto=True)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        wait_until(lambda: _state(port)["health"]["ready"], _TIMEOUT, "all three are ready")
        assert all(map(running_state, old[:-1]))
        shown = _state(port)
        assert shown["collector"]["process"]["count"] == TRIO.processes
        assert {one["name"] for one in shown["processes"]} == {"queues-0", "queues-1", "queues-2"}
        text = _get(port, "/metrics")
        assert 'process="queues-0"' in text
        assert 'process="queues-1"' in text
        collector.drain()
    finally:
        collector.kill()
    arrived = rsyslog.events()
    assert verdict(due, arrived).lost == 0, first_difference(due, arrived)


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as reply:
        return reply.read().decode()


def _state(port: int):
    return json.loads(_get(port, "/status.json"))
