"""What is built for users: every module and data file, no test, and one version everywhere."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import flows

ROOT = Path(__file__).parents[1]
NAME = "devo-aws-collector"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_stands_in_one_place():
    """pyproject.toml has it; the installed package and the changelog's first entry say the same."""
    assert version(NAME) == PROJECT["version"]
    log = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", log, re.MULTILINE)[0] == PROJECT["version"]


def test_the_command_of_the_distribution_is_there():
    """`devo-aws-collector` is `python -m flows`."""
    scripts = distribution(NAME).entry_points.select(group="console_scripts")
    assert [(one.name, one.load().__module__) for one in scripts] == [(NAME, "flows.cli")]


def test_what_is_tested_is_what_is_installed():
    """Beside a suite without the packages (`make test`) they come from the wheel, and it holds no test."""
    home = Path(flows.__file__).parents[1]
    assert (home == ROOT) == (ROOT / "flows").exists()
    if home != ROOT:
        tops = {file.parts[0] for file in distribution(NAME).files or ()}
        assert "flows" in tops
        assert "tests" not in tops
