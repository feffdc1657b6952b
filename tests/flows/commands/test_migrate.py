"""`flows migrate`: nothing of a configuration is left unsaid, and what is printed loads."""

import stat

import pytest
import yaml

from flows.cli import main
from flows.commands.key_effects import Effect, key_effects
from flows.config.load import load
from flows.config.read import read
from tests.flows.config.documented import catalogue, documented

ALL = documented()


@pytest.fixture
def migrated(tmp_path, monkeypatch, capsys):
    """Return what migrates a configuration: (exit code, the lists, the configuration printed)."""

    def run(one, *more):
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in one.env.items():
            monkeypatch.setenv(name, value)
        code = main(["migrate", str(one.write(tmp_path)), *more])
        lists, _, printed = capsys.readouterr().out.partition("\nwith our additions, each behind a #:\n")
        return code, lists, printed

    return run


def paths(value, path=""):
    """Yield the path of every key of a configuration, [] for what is in lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{path}.{key}" if path else str(key)
            yield place
            yield from paths(inner, place)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")


def _below(path, told):
    """Tell whether a key is said with what is below it."""
    return any(line.startswith((f"{path}.", f"{path}[]")) for line in told)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.about)
def test_nothing_is_unsaid_and_the_result_collects_the_same(migrated, tmp_path, one):
    """Every key is in one of the three lists; with our additions it starts, and collects the same."""
    code, lists, printed = migrated(one)
    assert code == 0
    told = {line.strip().partition(": ")[0] for line in lists.splitlines() if line.startswith("  ")}
    raw = read(one.write(tmp_path))
    unsaid = [path for path in paths(raw) if path not in told and not _below(path, told)]
    assert not unsaid
    (tmp_path / "new.yaml").write_text(printed)
    rows = catalogue(load(tmp_path / "new.yaml", one.env))
    assert sorted(" ".join(row) for row in rows) == sorted(one.catalogue)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.about)
def test_each_addition_loads_where_it_stands(migrated, tmp_path, one):
    """Who takes the # from one of them has a configuration that loads, if what it names is there."""
    _, _, printed = migrated(one)
    lines = printed.splitlines()
    for number, line in enumerate(lines):
        name = line.strip().removeprefix("# ").partition(":")[0]
        if line.strip().startswith("# ") and name in {
            "tag_suffix",
            "recheck",
            "buckets",
            "status",
            "filters",
            "mask",
        }:
            tried = [*lines[:number], line.replace("# ", "", 1), *lines[number + 1 :]]
            (tmp_path / "new.yaml").write_text("\n".join(tried) + "\n")
            load(tmp_path / "new.yaml", one.env)


def test_secrets_are_written_and_not_printed(migrated, tmp_path):
    """The terminal shows none; the file that was asked for has them, and is its user's alone."""
    one = next(one for one in ALL if one.about.startswith("keys and two roles"))
    _, lists, printed = migrated(one)
    assert yaml.safe_load(printed)["inputs"]["aws"]["credentials"]["access_secret"] == "***"
    new = tmp_path / "new.yaml"
    code, lists, _ = migrated(one, "--output", str(new))
    assert code == 0
    assert yaml.safe_load(new.read_text())["inputs"]["aws"]["credentials"]["access_secret"] == "s"
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert f"written to {new}" in lists
    assert migrated(one, "--output", str(new))[0] == 2  # nothing is overwritten


def test_what_does_not_load_is_told_beside_the_lists(migrated):
    """The three lists come all the same; then what is wrong, with exit code 2."""
    one = next(one for one in ALL if one.about == "secrets from the environment")
    code, lists, _ = migrated(type(one)(one.about, one.config.replace("${KEY}", "${MISSING}"), []))
    assert code == 2
    assert "inputs.aws.credentials.access_key" in lists


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("{a: {id: '1', services: [aws-guardduty]}}", 2),
        ("{a: {id: '1', services: aws-guardduty}}", 2),
        ("{a: {id: '1', services: {aws-guardduty: true}}}", 2),
        ("{a: {id: '1', credentials: mine, services: {aws-guardduty: {}}}}", 2),
        ("[{id: '1'}]", 2),
        ("{a: }", 2),
        ("&a {aws: *a}", 2),
        ("{123: {id: '1', services: {aws-guardduty: {regions: [eu-west-1]}}}}", 0),
        ("{no: {id: '1', services: {aws-guardduty: {regions: [eu-west-1]}}}}", 0),
    ],
)
def test_files_of_any_shape_end_in_order(tmp_path, capsys, inputs, expected):
    """What is no configuration is told as loading it would; names may be numbers, or yes and no."""
    (tmp_path / "c.yaml").write_text(f"inputs: {inputs}\n")
    assert main(["migrate", str(tmp_path / "c.yaml")]) == expected
    assert "Traceback" not in capsys.readouterr().err


def test_each_list_says_why():
    """A key without effect says the reason, a different one the difference."""
    raw = {
        "globals": {"multiprocessing": True, "persistence": {"type": "redis", "config": {"host": "r"}}},
        "inputs": {"a": {"id": "1", "services": {"aws-guardduty": {"tag": "a.b"}}}},
    }
    found = {one.path: one for one in key_effects(raw)}
    assert found["globals.multiprocessing"].effect is Effect.UNNEEDED
    assert "--processes" in found["globals.multiprocessing"].note
    assert found["globals.persistence.type"].effect is Effect.DIFFERENT
    assert found["globals.persistence.config.host"].effect is Effect.UNNEEDED
    assert found["inputs.a.services.aws-guardduty.tag"].effect is Effect.SAME
