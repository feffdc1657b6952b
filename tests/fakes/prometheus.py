"""A real Prometheus that scrapes one port of this machine: what it answers is what Grafana would show."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.process import HOST, Child, free_port, wait_until


def find(name: str) -> str:
    """Return a program of Prometheus' package, where `.ci/prometheus` unpacks it or on the path; or skip."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devo-aws-collector/prometheus"
    unpacked = Path(os.environ.get("PROMETHEUS_DIR") or cache) / "usr/bin" / name
    found = str(unpacked) if unpacked.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"no {name} on this machine: `.ci/prometheus` unpacks Debian's")
    return found


def check(config: Path) -> str:
    """Let promtool check a configuration and its rules; returns what it says, which must be good."""
    command = [find("promtool"), "check", "config", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A running one at `port`."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def ready(self) -> bool:
        """Whether it answers queries; for a moment after its start it does not."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/-/ready", timeout=30):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def ask(self, path: str, **params: str) -> Any:
        """Return the data of an API call."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/api/v1/{path}{query}", timeout=30) as reply:
            told = json.load(reply)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the result of an expression, now."""
        return list(self.ask("query", query=expression)["result"])


@contextmanager
def scraping(port: int, job: str, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """Start Prometheus with rules; it scrapes every second until the block ends."""
    program = find("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(rules)],
                "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}],
            }
        )
    )
    own = free_port()
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    address = f"--web.listen-address={HOST}:{own}"
    child = Child([program, *options, address], folder / "log", dict(os.environ), folder)
    try:
        child.await_port(own, 60)
        started = Prometheus(own)
        wait_until(lambda: started.ready, 60, "Prometheus is ready", 0.2)
        wait_until(lambda: len(started.query("up == 1")) == 1, 60, "the first scrape", 0.2)
        yield started
    finally:
        child.kill()
