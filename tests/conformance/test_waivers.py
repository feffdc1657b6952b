"""Waivers are written down, printed, and fall when they are not needed."""

import pytest

from flows.catalogue.services import CATALOGUE
from tests.conformance.rows import ROWS
from tests.conformance.waivers import WAIVERS, over_rows, told


def test_every_row_of_the_catalogue_is_in_the_suite():
    """The suite runs over the whole catalogue, each row once."""
    assert sorted(row.name for row in ROWS) == sorted(one.name for one in CATALOGUE)


def test_waivers_have_a_row_and_a_reason():
    """A waiver names a row of the catalogue and says in a sentence why."""
    assert {row for row, _ in WAIVERS} <= {one.name for one in CATALOGUE}
    assert all(len(why.split()) > 5 for why in WAIVERS.values())


def test_a_waived_test_must_fail():
    """A waiver marks its one row as failing, strictly: a row that passes fails for its needless waiver."""
    marked = over_rows("drain", ROWS, {("logs", "drain"): "because this is a test of waivers"}).args[1]
    found = {one.id: [mark.name for mark in one.marks] for one in marked if one.marks}
    assert found == {"logs": ["xfail"]}
    (waived,) = [one for one in marked if one.marks]
    assert waived.marks[0].kwargs == {"reason": "because this is a test of waivers", "strict": True}


@pytest.mark.parametrize(
    ("waivers", "lines"),
    [({}, []), ({("logs", "wait_in_vain"): "it cannot"}, ["logs does not wait in vain: it cannot"])],
)
def test_waivers_are_told(waivers, lines):
    """What is waived is printed, a line each."""
    assert told(waivers) == lines
