"""Every documented shape of both of Devo's configurations starts unchanged, and collects what it says."""

import json

import botocore
import jsonschema
import pytest

from flows.config.load import SettingsError, load
from flows.config.read import read
from flows.config.settings import json_schema
from tests.flows.config.documented import catalogue, documented, refused

ALL = documented()
SCHEMA = jsonschema.Draft202012Validator(json_schema())


def test_there_are_sixty():
    """Each shape once."""
    assert len(ALL) >= 60
    assert len({one.about for one in ALL}) == len(ALL)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.about)
def test_it_loads_fits_the_schema_and_collects_what_is_expected(one, tmp_path):
    """No key is refused, by the loader or by an editor; queue, region and identity are those meant."""
    rows = catalogue(load(one.write(tmp_path), one.env))
    assert sorted(" ".join(row) for row in rows) == sorted(one.catalogue)
    raw = json.dumps(read(one.write(tmp_path)))
    SCHEMA.validate(json.loads(raw.replace('"true":', '"on":')))  # editors read YAML 1.2, where on is a text


@pytest.mark.parametrize(("config", "errors"), [pytest.param(*one[1:], id=one[0]) for one in refused()])
def test_what_cannot_be_meant_so_is_told_in_one_line_each(tmp_path, config, errors):
    """Each mistake once, with its place and its cure; nothing that only follows from it."""
    path = tmp_path / ("config.json" if config.startswith("{") else "config.yaml")
    path.write_text(config)
    with pytest.raises(SettingsError) as raised:
        load(path, {})
    lines = str(raised.value).splitlines()
    due = [one.replace("FILE", str(path)).replace("VERSION", botocore.__version__) for one in errors]
    assert [line[: len(one)] for line, one in zip(lines, due, strict=False)] == due
    assert len(lines) == len(due), lines
