"""What a process does not take from where it was started, and whom its cluster port trusts."""

import os
import re
import subprocess
import sys

import pytest

from flows.check.finding import CheckContext
from flows.check.settings import cluster
from flows.config.errors import SettingsError
from flows.process.hardening import cluster_port, ignore_key_log
from tests.fakes.collector import ROOT

OURS = ("bytewax.py", "yaml.py", "argparse.py", "pathlib.py")
STARTED = ("collections.py",)
"""What Python itself may import before any code of ours runs: only -P keeps it out."""


@pytest.mark.parametrize(
    ("options", "name"),
    [*(((), name) for name in OURS), *((("-P",), name) for name in (*OURS, *STARTED))],
    ids=str,
)
def test_a15_a_module_of_the_working_directory_is_not_run(tmp_path, options, name):
    """Who may write where the collector is started puts no module in the place of another one."""
    (tmp_path / name).write_text("open('taken', 'w')\nraise SystemExit('taken over')\n")
    ended = subprocess.run(
        [sys.executable, *options, "-m", "flows", "check", "--offline"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "taken over" not in ended.stderr
    assert not (tmp_path / "taken").exists()


def test_a15_unit_and_image_have_a_safe_path():
    """Both start Python without the working directory on its path, the image's probe and commands too."""
    unit = (ROOT / "deploy/systemd/devo-aws-collector.service").read_text()
    image = (ROOT / "deploy/docker/Dockerfile").read_text()
    assert re.search(r"^ExecStart=\S+/python -P -m flows run", unit, re.MULTILINE)
    assert "PYTHONSAFEPATH=1" in image
    assert len(re.findall(r'"python", "-P", "-m"', image)) == len(re.findall(r'"python"', image)) == 2


def test_a15_key_logs_are_ignored_unless_asked_for():
    """SSLKEYLOGFILE, with which anybody could read what is sent, has no effect, and that is told."""
    env = {"SSLKEYLOGFILE": "keys"}
    told = ignore_key_log(env)
    assert env == {}
    assert told.startswith("SSLKEYLOGFILE is ignored")
    assert "COLLECTOR_KEY_LOG=1" in told
    assert ignore_key_log(env) == ""
    wanted = {"SSLKEYLOGFILE": "keys", "COLLECTOR_KEY_LOG": "1"}
    assert ignore_key_log(wanted) == ""
    assert "SSLKEYLOGFILE" in wanted


@pytest.mark.parametrize("by", ["flows.cli.main(['check', '--offline'])", "flows.aws.flow('config.yaml')"])
def test_a15_no_key_is_written(tmp_path, by):
    """Neither the commands nor the dataflow of plain bytewax make connections whose keys are written."""
    (tmp_path / "config.yaml").write_text(
        "inputs: {a: {id: 1, services: {aws-guardduty: {regions: [eu-west-1]}}}}\n"
        "globals: {persistence: {type: memory}}\n"
    )
    code = f"import ssl, flows.cli, flows.aws\n{by}\nassert not ssl.create_default_context().keylog_filename"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SSLKEYLOGFILE": str(tmp_path / "keys")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "SSLKEYLOGFILE is ignored" in ended.stderr
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1:9999", "10.0.0.2:9999"), ("127.0.0.1:1", "pod-1.siem:2"), ("[::]:1",)]
)
def test_a12_a_cluster_port_beyond_loopback_is_refused(addresses):
    """Addresses that others reach are refused, with the cure, unless the network is said to be trusted."""
    with pytest.raises(SettingsError, match=r"whoever reaches this port runs code.*COLLECTOR_CLUSTER_PORT"):
        cluster_port(addresses, {})
    told = cluster_port(addresses, {"COLLECTOR_CLUSTER_PORT": "network-trusted"})
    assert told.startswith("whoever reaches this port runs code: cluster ports ")


@pytest.mark.parametrize("addresses", [("127.0.0.1:1", "127.0.0.2:2"), ("[::1]:1", "localhost:2")])
def test_a12_a_cluster_port_on_loopback_is_warned_about(addresses):
    """On loopback a cluster runs, and says who may reach it; without a cluster nothing is said."""
    assert "every user of this machine" in cluster_port(addresses, {})
    assert cluster_port((), {}) == ""


def test_a12_a_process_of_an_open_cluster_does_not_start(tmp_path):
    """A process whose cluster others reach ends with one line before it opens the port."""
    config = tmp_path / "config.yaml"
    config.write_text("inputs: {a: {id: '1', services: {aws-guardduty: {regions: [us-east-1]}}}}")
    env = {**os.environ, "BYTEWAX_ADDRESSES": "0.0.0.0:9999;10.0.0.2:9999", "BYTEWAX_PROCESS_ID": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", "--config", str(config)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("whoever reaches this port runs code")


def test_a12_check_says_who_reaches_the_port(tmp_path, monkeypatch):
    """In a cluster's environment `check` says the same; elsewhere nothing."""

    def found():
        return [(one.level, one.what) for one in cluster(CheckContext(None, ()))]

    monkeypatch.delenv("BYTEWAX_ADDRESSES", raising=False)
    assert found() == []
    monkeypatch.setenv("BYTEWAX_ADDRESSES", "127.0.0.1:1;127.0.0.1:2")
    assert found() == [("warn", "whoever reaches this port runs code")]
    monkeypatch.setenv("BYTEWAX_ADDRESSES", "10.0.0.1:1;10.0.0.2:2")
    assert found() == [("fail", "whoever reaches this port runs code, since bytewax unpickles what comes in")]
