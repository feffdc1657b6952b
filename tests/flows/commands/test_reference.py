"""The pages are what the code says: every key, every failure, every reason."""

import logging
import re
from pathlib import Path

import pytest

from flows.commands import error_catalogue, error_page
from flows.commands.reference import settings_page
from flows.config.settings import json_schema
from sources.errors import Throttled
from transforms.telemetry import say

ROOT = Path(__file__).parents[3]
PAGES = {"settings": settings_page, "errors": error_page.page}


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_not_stale(name):
    """docs/ holds what `python -m flows reference` prints; `make docs` writes it."""
    assert (ROOT / "docs" / f"{name}.md").read_text() == PAGES[name]()


def keys_of(schema):
    """Yield the property names of a JSON Schema, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from keys_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


def test_every_key_of_the_schema_is_on_the_page():
    """Nothing that may be written in a configuration is without its row or section."""
    page = settings_page()
    wanted = {key for key in keys_of(json_schema()["$defs"]) if key != "file"}
    missing = {key for key in wanted if f"| `{key}` |" not in page and key not in page}
    assert not missing


@pytest.mark.parametrize(
    "key", ["global_overrides", "location", "chain_loc", "aws_access_key_id", "aws_external_id", "audit_apis"]
)
def test_other_spellings_are_told(key):
    """Who looks up a key of Devo's finds it, whichever spelling the file has."""
    assert re.search(rf"\b{key}\b", settings_page())


def test_keys_stand_as_they_are_written():
    """No row shows a name that only Python needs."""
    page = settings_page()
    assert not re.findall(r"^\| `\w+_` ", page, re.MULTILINE)
    assert "| `json` |" in page


def test_every_failure_has_its_entry():
    """A new kind of failure cannot come without what it does and what a person does."""
    assert set(error_catalogue.ENTRIES) == set(error_page.kinds())


def test_codes_are_unique_and_of_a_family():
    """Each code leads to one place of the page."""
    codes = [error.code() for error in error_catalogue.ENTRIES]
    assert len(set(codes)) == len(codes)
    assert {code.partition("-")[0] for code in codes} <= set(error_catalogue.FAMILIES)
    assert all(f"### {code}\n" in error_page.page() for code in codes)


def test_every_reason_of_the_code_is_told():
    """Whatever names a folder of the quarantine is explained."""
    files = [path for folder in ("sources", "transforms", "sinks") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text() for path in files)
    found = set(
        re.findall(r'(?:Poison\(|reason=|reason: str = |broken\(|TOO_LARGE = )\s*"([a-z]+_[a-z_]+)"', text)
    )
    found |= set(re.findall(r'Verdict\(_POISON, "(\w+)"', text))
    assert found - set(error_catalogue.REASONS) == set()


def test_a_failure_in_the_log_has_its_code(caplog):
    """The line leads to the page."""
    with caplog.at_level(logging.WARNING, "collector"):
        say(logging.WARNING, "poll_failed", error=Throttled("slow", "here", "wait"))
    assert caplog.messages == ["poll_failed error=slow: here: wait code=api-throttled"]
