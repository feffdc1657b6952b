"""The compose file's demo without containers: its configuration and filler, and the health check."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.demo.embedded import isolated
from flows.demo.sample_events import messages
from flows.demo.samples import objects
from tests.fakes.ministack import Ministack
from tests.fakes.process import HOST, Child, free_port, wait_until
from tests.fakes.receivers import Receiver, running

DEMO = Path(__file__).parents[2] / "deploy/docker/demo"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def relay(tmp_path) -> Iterator[Receiver]:
    """Return rsyslog without TLS."""
    yield from running("rsyslog", tmp_path / "relay", None)


@pytest.fixture
def child(tmp_path) -> Iterator:
    """Return a function that runs a Python command of the image with variables; all end with the test."""
    started = []

    def run(*command: str, **variables: str) -> Child:
        env = {**isolated(os.environ), "PYTHONPATH": str(ROOT), **variables}
        started.append(Child([sys.executable, *command], tmp_path / f"log-{len(started)}", env, tmp_path))
        return started[-1]

    yield run
    for one in started:
        one.kill()


@pytest.fixture
def aws_of_its_own() -> Iterator[Ministack]:
    """Return an embedded AWS in which the demo's names are free."""
    with Ministack() as started:
        yield started


@pytest.mark.timeout(400)
def test_the_demos_services_arrive_at_the_receiver(aws_of_its_own, relay, child, tmp_path):
    """What the filler puts into AWS arrives with the mounted configuration, and the container is healthy."""
    config = yaml.safe_load((DEMO / "config.yaml").read_text())
    config["outputs"]["relay"]["config"] |= {"address": HOST, "port": relay.port}
    config["globals"]["persistence"]["config"]["directory_name"] = str(tmp_path / "state")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    events = sum(len(one.events) for one in (*objects(3), *messages(3)))
    filler = child(str(DEMO / "fill.py"), "1", AWS_ENDPOINT_URL=aws_of_its_own.url)
    assert filler.wait(120) == 0, filler.tail()
    status = f"{HOST}:{free_port()}"
    given = {"COLLECTOR_CONFIG": str(tmp_path / "config.yaml"), "AWS_ENDPOINT_URL": aws_of_its_own.url}
    probe = ("-m", "flows.status.probe")
    assert child(*probe, COLLECTOR_STATUS=status).wait(60) == 1, "nobody listens yet"
    collector = child("-m", "flows", "run", "--interval", "1", COLLECTOR_STATUS=status, **given)
    wait_until(lambda: relay.size() >= events or not collector.alive, 120, "every event", 0.2)
    assert relay.size() == events, collector.tail()
    checked = child(*probe, COLLECTOR_STATUS=status)
    assert (checked.wait(60), checked.tail()) == (0, "ok\n")
