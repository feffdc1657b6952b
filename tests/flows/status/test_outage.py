"""A running collector's status port through an outage of Devo."""

import os
import re
import subprocess
import sys
import urllib.request

import pytest

from tests.fakes.collector import ROOT
from tests.fakes.process import HOST, free_port, listening, wait_until
from tests.flows.status.world import running

pytestmark = pytest.mark.timeout(400)


def test_health_and_readiness_through_an_outage(certs, tmp_path):
    """Without Devo it is well, not ready, and holds what it has; with Devo again all is delivered."""
    with running(tmp_path, certs) as world:
        world.put()
        world.await_delivered()
        wait_until(lambda: world.get("/readyz")[0] == 200, 90, "it is ready", 0.2)
        assert topped(world).returncode == 0
        world.devo_goes()
        seen = topped(world)
        assert (seen.returncode, seen.stderr) == (1, "")
        assert "Output devo takes nothing at the moment." in " ".join(seen.stdout.split())
        assert "nothing listens there: check `address` and `port`" in " ".join(seen.stdout.split())
        assert max(map(len, seen.stdout.splitlines())) <= 80
        assert world.get("/healthz")[::2] == (200, "ok\n")
        assert world.get("/readyz")[::2] == (503, "not ready: output devo\n")

        def held():
            flow = next(one for one in world.state()["places"] if one["service"] == "flowlogs")
            return flow["leases_held"] > 0 and flow["lag_seconds"] > 0

        wait_until(held, 90, "what is not delivered is in hand", 0.2)
        state = world.state()
        assert state["outputs"][0]["window"]["bytes"] > 0
        assert (
            state["outputs"][0]["last_error"]["hint"] == "nothing listens there: check `address` and `port`"
        )
        world.devo_comes()
        wait_until(
            lambda: world.state()["outputs"][0]["window"]["bytes"] == 0, 90, "the window is empty", 0.2
        )
        assert world.state()["outputs"][0]["events_delivered"] >= world.events
        assert world.stop() == 0


def test_a_quiet_collector_is_ready_and_bytewax_serves_the_same_metrics(certs, tmp_path):
    """Outputs are reached once without an event; bytewax's own web server has our metrics beside its own."""
    port = free_port()
    variables = {
        "BYTEWAX_DATAFLOW_API_ENABLED": "1",
        "BYTEWAX_DATAFLOW_API_PORT": str(port),
        "BYTEWAX_DATAFLOW_API_CACHE_PATH": str(tmp_path),
    }
    with running(tmp_path / "world", certs, quiet=True, **variables) as world:
        wait_until(lambda: world.get("/readyz")[0] == 200, 90, "it is ready", 0.2)
        assert world.sink.lines == []
        wait_until(lambda: listening(port), 90, "bytewax serves", 0.2)
        wait_until(lambda: "collector_lanes{" in world.get("/metrics")[2], 90, "lanes are built", 0.2)
        ours, theirs = set(), set()

        def told():  # metrics come as their threads do
            nonlocal ours, theirs
            ours = names(world.get("/metrics")[2])
            with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=30) as reply:
                theirs = names(reply.read().decode())
            return ours <= theirs

        wait_until(told, 90, "bytewax serves all of ours", 0.2)
        assert len(ours) > 10
        assert "bytewax_item_out_count_total" in theirs - ours
        assert world.stop() == 0


def names(text):
    """Return the metrics of the collector and of bytewax in an exposition."""
    return set(re.findall(r"^((?:collector|bytewax)_\w+)", text, re.MULTILINE))


def topped(world):
    """Run `python -m flows top --once` on a world."""
    place = {
        **os.environ,
        "COLLECTOR_STATUS": f"{HOST}:{world.port}",
        "COLUMNS": "80",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "flows", "top", "--once"]
    return subprocess.run(
        command, env={**os.environ, **place}, cwd=world.folder, capture_output=True, text=True, check=False
    )
