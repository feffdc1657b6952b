"""The command: lines, JSON, exit codes."""

import re
import subprocess
import sys

import orjson
import pytest
import yaml

from flows.check.finding import Check, CheckContext, Level, ok
from flows.check.run import CHECKS, run, summary
from flows.cli import main
from flows.config.load import load
from tests.flows.check.conftest import config, flow_logs
from transforms.errors import CollectorError


@pytest.fixture
def path(tmp_path):
    """Return the file of a good configuration."""
    made = tmp_path / "config.yaml"
    made.write_text(yaml.safe_dump(config(flow_logs("flow"))))
    return made


def test_a_line_for_each_check(path, capsys):
    """Offline there is a line for each finding, a summary, and exit code 0."""
    assert main(["check", "--offline", "--config", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 ok, 0 warn, 0 fail"
    assert all(re.match(r"(ok|warn|fail) +[a-z_]+ +\S", line) for line in lines[:-1])


def test_the_machine_form(path, capsys):
    """--json prints one object with the same findings, field by field."""
    path.write_text(path.read_text().replace("regions", "regoins"))
    assert main(["check", "--offline", "--json", "--config", str(path)]) == 1
    report = orjson.loads(capsys.readouterr().out)
    assert report["ok"] is False
    first = report["checks"][0]
    assert set(first) == {"level", "code", "what", "where", "hint"}
    assert (first["level"], first["code"], first["hint"]) == ("fail", "unknown_key", "did you mean regions?")


def test_live_by_default(path, capsys, proxy):
    """Without --offline AWS is asked, and a failure there ends with 1."""
    assert main(["check", "--config", str(path)]) == 1
    assert "fail  credentials" in capsys.readouterr().out


def test_no_configuration_is_wrong_usage(tmp_path, capsys):
    """A configuration that does not exist is exit code 2 and one line."""
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_as_a_command(path):
    """`python -m flows check` works as a process."""
    command = [sys.executable, "-m", "flows", "check", "--offline", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_check_that_breaks_is_a_finding(path, monkeypatch):
    """An error of this project in one check is a failure under its code, and the others go on."""

    def broken(_context):
        yield ok("before", "a", "b")
        raise CollectorError("what", "where", "hint")

    checks = (Check("broken", broken), Check("after", lambda _context: iter([ok("after", "a", "b")])))
    monkeypatch.setattr("flows.check.run.CHECKS", checks)
    found = list(run(CheckContext(load(path), ()), offline=True))
    assert [(one.level, one.code) for one in found] == [
        (Level.OK, "before"),
        (Level.FAIL, "broken"),
        (Level.OK, "after"),
    ]
    assert summary(found) == "2 ok, 0 warn, 1 fail"


def test_codes_are_stable():
    """Each check has a code of its own, and checks that need a network come last."""
    codes = [one.code for one in CHECKS]
    assert len(set(codes)) == len(codes)
    assert [one.live for one in CHECKS] == sorted(one.live for one in CHECKS)


def test_secrets_do_not_show(path, capsys, proxy):
    """No line, in any form, holds a secret of the configuration."""
    content = config(flow_logs("flow"), {"access_key": "AKIAX", "access_secret": "the-secret"})
    path.write_text(yaml.safe_dump(content))
    for form in ([], ["--json"]):
        main(["check", "--config", str(path), *form])
        assert "the-secret" not in "".join(capsys.readouterr())
