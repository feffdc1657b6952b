"""`python -m flows demo`, as a newcomer runs it."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from flows.demo.configuration import QUEUES
from tests.fakes.collector import ROOT
from tests.fakes.process import Child, wait_until

TEN = {*QUEUES, "audits_api", "metrics-all", "logs", "aws-guardduty"}
"""The main job's services."""

_SECONDS = 150


@pytest.fixture
def demo(tmp_path):
    """Return a function that starts the demo with options; it must leave no process and no file behind."""
    started = []
    folder = tmp_path / "tmp"
    folder.mkdir()

    def start(*options: str, aside: Path = Path("/dev/stdout")) -> Child:
        run = [sys.executable, "-m", "flows", "demo", *options]
        command = ["sh", "-c", f'exec "$@" 2>>{aside}', "sh", *run]
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        child = Child(command, tmp_path / "out", environment, tmp_path)
        started.append(child)
        return child

    yield start
    for child in started:
        child.signal(signal.SIGTERM)
        child.wait(60)
    assert not running_in(folder)
    assert not list(folder.glob("devo-aws-demo-*"))


def running_in(folder: Path) -> list[str]:
    """Return the processes that have this folder for their temporary files."""
    marked = f"TMPDIR={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marked in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # another user's, or it has just ended
            continue
    return found


def test_all_ten_services_arrive(demo):
    """Every tag arrives with identical content, all ten services have collected, and the exit code is 0."""
    child = demo("--objects", "3")
    code = child.wait(_SECONDS)
    said = child.tail(20_000)
    assert code == 0, said
    rows = [row.split() for row in re.findall(r"^(?:cloud|sig)\..*$", said, re.MULTILINE)]
    assert {row[2] for row in rows} == {"identical"}
    collectors = {word.strip(",") for row in rows for word in row[3:]}
    assert {word for word in collectors if not word.isdigit()} == TEN
    assert re.search(r"^total +\d+  identical  10 services$", said, re.MULTILINE)


def test_it_can_be_kept_up(demo):
    """--keep says where the status page is, which shows its services at work; Ctrl-C ends it, all well."""
    child = demo("--objects", "1", "--keep")
    wait_until(lambda: "The status page" in child.tail(20_000) or not child.alive, _SECONDS, "the page")
    page = re.search(r"http://127\.0\.0\.1:\d+/status", child.tail(20_000))
    assert page, child.tail()
    told = json.loads(urlopen(f"{page[0]}.json", timeout=10).read())  # noqa: S310 - http, see above
    assert {one["service"] for one in told["places"] if one["source_events"]} == TEN
    child.signal(signal.SIGINT)
    assert child.wait(_SECONDS) == 0, child.tail(20_000)


def test_without_delivery_it_fails(demo):
    """When not everything has arrived in time, the exit code is 1 and the last line says so."""
    child = demo("--objects", "1", "--timeout", "0")
    assert child.wait(_SECONDS) == 1
    assert child.tail().splitlines()[-1].startswith("demo incomplete: collector exit code")


def test_json_is_all_that_stdout_has(demo, tmp_path):
    """--json prints one object, which tells as the exit code does; everything else goes to stderr."""
    child = demo("--objects", "1", "--timeout", "0", "--json", aside=tmp_path / "err")
    assert child.wait(_SECONDS) == 1
    told = json.loads(child.log.read_text())
    assert (told["ok"], told["identical"]) == (False, False)
    assert {one["tag"] for one in told["tags"]} >= {"cloud.aws.vpc.flow", "sig.cisco.umbrella.dns"}
    assert "demo incomplete" in (tmp_path / "err").read_text()


def test_it_can_be_stopped(demo):
    """SIGTERM ends the demo, and with it all that it has started."""
    child = demo()
    wait_until(lambda: "Starting the collector" in child.tail(), 60, "the collector is started")
    child.signal(signal.SIGTERM)
    assert child.wait(60) == 1
