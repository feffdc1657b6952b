"""A whole collector on a machine whose role is attached late: not ready, then collecting."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.fakes.credential_endpoints import Endpoints
from tests.fakes.process import free_port, wait_until

REGION, EVENTS = "us-east-1", 20
ROOT = Path(__file__).parents[2]


@pytest.fixture
def world() -> Iterator[Endpoints]:
    with Endpoints() as running:
        now = int(time.time())
        for number in range(EVENTS):
            record = {"eventID": f"id-{number}", "eventSource": "s3.amazonaws.com", "eventName": "Op"}
            running.events.append(
                {
                    "EventId": f"id-{number}",
                    "EventName": "Op",
                    "EventTime": now - 600 - number,
                    "CloudTrailEvent": json.dumps(record),
                }
            )
        yield running


def environment(world: Endpoints, folder: Path) -> dict[str, str]:
    """Return that of a machine with nothing but the metadata service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": world.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": world.url,
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "AWS_DEFAULT_REGION": REGION,
    }


def configured(folder: Path) -> Path:
    service = {
        "types": ["audits_api"],
        "regions": [REGION],
        "start_time": (datetime.now(UTC) - timedelta(minutes=30)).isoformat(),
        "request_period_in_seconds": 1,
    }
    inputs = {"prod": {"id": "1", "services": {"audit-events-all": service}}}
    outputs = {"file": {"type": "file", "config": {"path": str(folder / "out.log")}}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"inputs": inputs, "outputs": outputs}))
    return path


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [6, pytest.param(20, marks=pytest.mark.full)])
def test_r22_a_role_that_is_attached_late(world, tmp_path, figures, seconds):
    """Metadata that answers 404 at first: alive, not ready, a line for absence and its end, all events."""
    world.serving = False
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "flows", "run", "--config", str(configured(tmp_path)), "--interval", "1"]
    variables = environment(world, tmp_path) | {"COLLECTOR_STATUS": f"127.0.0.1:{port}"}
    with log.open("w") as stderr:
        child = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=stderr)
        try:
            wait_until(lambda: "identity of" in ask(port, "/readyz")[1], 60, "the absence is told", 0.2)
            assert ask(port, "/readyz") == (503, "not ready: identity of input prod, credentials\n")
            assert ask(port, "/healthz")[0] == 200
            assert "identity of input prod, credentials" in ask(port, "/status.json")[1]
            time.sleep(seconds)
            world.serving = True
            given = time.monotonic()
            wait_until(lambda: len(lines(tmp_path)) >= EVENTS, 100, "all events", 0.2)
            took = time.monotonic() - given
            wait_until(lambda: ask(port, "/readyz")[0] == 200, 30, "it is ready", 0.2)
        finally:
            child.terminate()
            child.wait(60)
    figures(f"a role attached {seconds} s late: all {EVENTS} events {took:.0f} s after it came")
    told = [line for line in log.read_text().splitlines() if "identity_" in line]
    assert [word for line in told for word in line.split() if word.startswith("identity_")] == [
        "identity_failed",
        "identity_recovered",
    ]
    assert "hop limit" in told[0]
    assert sorted(lines(tmp_path)) == sorted(f"id-{n}" for n in range(EVENTS))


def lines(folder: Path) -> list[str]:
    """Return the ids of the events that have come out."""
    path = folder / "out.log"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line[line.index("{") :])["eventID"] for line in text.splitlines() if "{" in line]
