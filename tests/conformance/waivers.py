"""What a row need not do, each with its written reason; a waiver that is not needed makes its test fail."""

from collections.abc import Iterable, Mapping

import pytest

from tests.conformance.rows import ROWS, Row

WAIVERS: Mapping[tuple[str, str], str] = {}
"""(row, test's name without `test_`) → why the row fails it."""


def over_rows(
    test: str, rows: Iterable[Row] = ROWS, waivers: Mapping[tuple[str, str], str] = WAIVERS
) -> pytest.MarkDecorator:
    """Return the parametrisation of a test over all rows; where it is waived it must fail."""
    params = [pytest.param(row, id=row.name, marks=_marks(waivers.get((row.name, test), ""))) for row in rows]
    return pytest.mark.parametrize("row", params)


def _marks(reason: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []


def told(waivers: Mapping[tuple[str, str], str] = WAIVERS) -> list[str]:
    """Return the waivers as lines."""
    return [f"{row} does not {test.replace('_', ' ')}: {why}" for (row, test), why in waivers.items()]
