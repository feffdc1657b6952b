"""What the documents tell a reader to type, open or look for exists: commands, options, files, names."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

import flows
import sinks
import sources
import transforms
from flows.cli import parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
HISTORY = {"CHANGELOG.md", "DECISIONS.md"}
"""They also tell of what is gone."""
TODAY = [path for path in DOCUMENTS if path.name not in HISTORY]
BETWEEN_PROCESSES = {"COLLECTOR_HELD", "COLLECTOR_SPENT", "COLLECTOR_SUPERVISOR"}
"""Variables that a supervisor sets for its own processes: nobody types them."""
SHELL_ENDS = {"|", ">", "2>", "&", "&&"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def product() -> str:
    """Return the source of the installed packages, which `make unit` keeps apart from the suite."""
    folders = [Path(one.__path__[0]) for one in (flows, sinks, sources, transforms)]
    return "\n".join(path.read_text() for folder in folders for path in sorted(folder.rglob("*.py")))


def typed(text: str) -> list[str]:
    """Return the lines that a reader types: those of code blocks, continued ones joined."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4,}.*$", text, re.MULTILINE)
    return [line.strip() for line in re.sub(r"\\\n\s*", " ", "\n".join([*indented, *blocks])).splitlines()]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def slug(heading: str) -> str:
    """Return the anchor that GitHub and mkdocs give to a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_anchors_lead_to_a_heading(path):
    """A link into the middle of a page finds its heading there."""
    for page, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]*)\)", path.read_text()):
        there = (path.parent / page if page else path).read_text()
        assert anchor in {slug(found) for found in re.findall(r"^#+ (.*)$", there, re.MULTILINE)}, anchor


@pytest.mark.parametrize("path", TODAY, ids=name)
def test_commands_parse(path, capsys):
    """Each `python -m flows …` of a code block has a command, options and arguments that the parser takes."""
    for line in typed(path.read_text()):
        if found := re.match(r"(?:\w+=\S+ )*(?:\S*/)?python (?:-P )?-m flows (.+)", line):
            words = shlex.split(found[1], comments=True)
            ends = [at for at, word in enumerate(words) if word in SHELL_ENDS]
            try:
                parser().parse_args(words[: min(ends, default=len(words))])
            except SystemExit:
                pytest.fail(f"{line}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("path", TODAY, ids=name)
def test_commands_in_a_sentence_have_their_options(path):
    """Each `run --…` within a sentence names a command of ours and options that it has."""
    commands = next(one for one in parser()._actions if isinstance(one.choices, dict)).choices
    for span in spans(path.read_text()):
        found = re.match(r"(?:python -m flows )?([a-z]+)((?: .*)?)$", span)
        if found and found[1] in commands:
            known = commands[found[1]]._option_string_actions
            assert set(re.findall(r"(?<!\S)--[a-z-]+", found[2])) <= set(known), span
        elif found and span.startswith("python -m flows "):
            pytest.fail(span)


@pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="the Makefile is not beside this suite")
@pytest.mark.parametrize("path", TODAY, ids=name)
def test_targets_exist(path):
    """Each `make …` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    found = [re.match(r"make ([a-z0-9-]+)", one) for one in [*typed(text), *spans(text)]]
    assert {one[1] for one in found if one} <= targets


@pytest.mark.parametrize("path", TODAY, ids=name)
def test_names_are_those_of_the_code(path):
    """Variables and metrics have the names that the code gives them."""
    text = path.read_text()
    variables = set(re.findall(r"\bCOLLECTOR_[A-Z_]*[A-Z]\b", text))
    metrics = {one.removesuffix("_total") for one in re.findall(r"\bcollector_([a-z_]+)\b(?![/.*-])", text)}
    assert not {one for one in variables | metrics if one not in product()}


@pytest.mark.parametrize("path", TODAY, ids=name)
def test_modules_of_tests_exist(path):
    """Each `python -m tests.…` is a module."""
    for module in re.findall(r"python -m (tests[.\w]*\w)", path.read_text()):
        at = ROOT / module.replace(".", "/")
        assert at.with_suffix(".py").exists() or (at / "__main__.py").exists(), module


@pytest.mark.skipif(not (ROOT / "sources").is_dir(), reason="the packages are not beside this suite")
@pytest.mark.parametrize("path", TODAY, ids=name)
def test_files_are_where_they_are_said_to_be(path):
    """A path below one of our folders, in code or in a sentence, exists."""
    ours = "deploy|tests|docs|flows|sources|sinks|transforms|requirements"
    found = set(re.findall(rf"(?<![\w/.-])((?:{ours})/[\w./-]*\w)", path.read_text()))
    assert not {one for one in found if not (ROOT / one).exists()}


def test_every_variable_is_told():
    """Whatever the code reads from the environment under our name stands in a document."""
    told = "\n".join(path.read_text() for path in TODAY)
    read = set(re.findall(r"""["'](COLLECTOR_[A-Z_]*[A-Z])["']""", product()))
    assert not {one for one in read - BETWEEN_PROCESSES if one not in told}
