"""Every documented shape of both of Devo's configurations starts unchanged, and collects what it says."""

import json

import jsonschema
import pytest

from flows.config.load import load
from flows.config.read import read
from flows.config.settings import json_schema
from tests.flows.config.documented import catalogue, documented

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
