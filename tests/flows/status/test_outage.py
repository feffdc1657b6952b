"""A running collector's status port through an outage of Devo."""

import pytest

from tests.fakes.process import wait_until
from tests.flows.status.world import running

pytestmark = pytest.mark.timeout(400)


def test_health_and_readiness_through_an_outage(certs, tmp_path):
    """Without Devo it is well, not ready, and holds what it has; with Devo again all is delivered."""
    with running(tmp_path, certs) as world:
        world.put()
        world.await_delivered()
        wait_until(lambda: world.get("/readyz")[0] == 200, 90, "it is ready", 0.2)
        world.devo_goes()
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


def test_it_is_ready_without_an_event(certs, tmp_path):
    """An output is reached once at the start, without an event, so that a quiet collector is ready too."""
    with running(tmp_path, certs, quiet=True) as world:
        wait_until(lambda: world.get("/readyz")[0] == 200, 90, "it is ready", 0.2)
        assert world.sink.lines == []
        assert world.stop() == 0
