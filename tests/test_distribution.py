"""What is built for users: every module and data file, no test, and one version everywhere."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

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


LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
_HINT = "run `make lock`, which writes requirements/ from pyproject.toml and constraints.txt"


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> dict[str, str]:
    """Return package → version of a file of pins."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {plain(name): number for name, number in found}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_its_hashes(path):
    """Each package is pinned, each pin has its hashes, and no file names a machine to get them from."""
    lines = [line.removesuffix("\\").strip() for line in path.read_text().splitlines()]
    pins = [place for place, line in enumerate(lines) if not line.startswith("--hash=sha256:")]
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[^\s;]+( ; [^:/]+)?", lines[place]) for place in pins)
    assert all(lines[place + 1].startswith("--hash=") for place in pins)
    assert not re.search(r"://|--(extra-)?index|--find-links", path.read_text())


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_locks_are_in_step_with_the_constraints(path):
    """A version stands in constraints.txt; a lock that has another one is of another day."""
    wanted = pinned(ROOT / "constraints.txt")
    assert {name: wanted.get(name) for name in pinned(path)} == pinned(path), _HINT


@pytest.mark.parametrize(("extra", "lock"), [("", "collector"), ("demo", "demo"), ("test", "test")])
def test_a_lock_has_what_is_needed(extra, lock):
    """Every dependency that pyproject.toml names is in the lock that installs it."""
    needed = [*PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] if extra else ())]
    names = {plain(re.match(r"[\w.-]+", one)[0]) for one in needed} - {NAME}
    assert names - pinned(ROOT / f"requirements/{lock}.txt").keys() == set(), _HINT


def test_what_builds_is_pinned():
    """The build needs one package, of one version, whose hash is known."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert dict(one.split("==") for one in built) == pinned(ROOT / "requirements/build.txt")


def test_image_and_make_install_by_hash():
    """Nothing is installed whose hash is not known, but the collector itself, without its dependencies."""
    installs = re.findall(r"pip install (.*)", (ROOT / "deploy/docker/Dockerfile").read_text())
    makefile = ROOT / "Makefile"
    if makefile.exists():  # not beside the built wheel
        text = makefile.read_text()
        assert "--require-hashes" in text
        installs += re.findall(r"pip install (.*)|\$\(PIP\) (?!--constraint constraints.txt uv)(.*)", text)
    flat = [one if isinstance(one, str) else one[0] or one[1] for one in installs]
    assert all("--require-hashes" in one or "--no-deps" in one for one in flat), flat
