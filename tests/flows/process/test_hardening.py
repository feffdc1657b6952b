"""What a process does not take from where it was started."""

import os
import re
import subprocess
import sys

import pytest

from flows.process.hardening import ignore_key_log
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
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "SSLKEYLOGFILE is ignored" in ended.stderr
    assert not (tmp_path / "keys").exists()
