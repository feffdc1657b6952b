"""The command line itself: what is said before any command runs."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from flows.cli import COMMANDS, main
from tests.fakes.collector import ROOT


def test_without_a_command_the_commands_are_shown(capsys):
    """A first look needs no option."""
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert {command.name for command in COMMANDS} <= set(shown.split())


def test_the_version_is_that_of_the_distribution(capsys):
    """What a bug report needs."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"{version('devo-aws-collector')}\n"


@pytest.mark.parametrize(
    ("command", "lacks", "packages"), [("check", "yaml", "."), ("demo", "ministack", "'.[demo]'")]
)
def test_a_python_without_the_collector_is_told_in_one_line(command, lacks, packages):
    """Whoever forgot to activate the environment, or what only the demo needs, sees no traceback."""
    code = f"import sys; sys.modules['{lacks}'] = None; from flows.cli import main; "
    code += f"sys.exit(main(['{command}']))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"the collector is not installed (no {lacks}")
    assert ended.stderr.endswith(f"that this Python belongs to: pip install {packages}\n")


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    """`flows reference settings | head` leaves no traceback, wherever the reader stops."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flows", "reference", "settings"]
    ended = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_configuration_is_asked_for_where_it_is_read(command, capsys):
    """No command offers --config and ignores it."""
    with pytest.raises(SystemExit):
        main([command.name, "--help"])
    assert ("--config" in capsys.readouterr().out) == (
        command.name not in {"demo", "init", "migrate", "reference", "schema", "top"}
    )
