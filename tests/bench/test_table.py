"""The bench's table: what is met, and how it is shown."""

import json
import math

import pytest

from tests.bench.__main__ import WORKS, rows_of
from tests.bench.bench import Cost, net
from tests.bench.table import (
    PEERS,
    TARGETS,
    Measured,
    as_json,
    cells,
    heading,
    line,
    met,
    ratio,
    target,
    verdict,
)


@pytest.mark.parametrize(
    ("work", "measured", "floor", "expected"),
    [
        ("vpc", 80, 100, True),
        ("vpc", 79, 100, False),
        ("vpc", math.nan, 100, None),
        ("vpc", 80, math.nan, None),
        ("start", 2.1, 1, False),
        ("start", 1.6, 1, True),
        ("sqs-calls", 0.25, 0, True),
        ("sqs-calls", 0.26, 0, False),
        ("peak", 301, 0, False),
        ("metric-calls", 4, 3, False),
        ("tenzir", 300, 100, True),
    ],
)
def test_met(work, measured, floor, expected):
    """A ratio or a value is compared on the side that the target names; noise meets nothing."""
    assert met(target(work), Measured(work, measured, floor)) is expected


def test_a_skip_is_told_by_name_and_reason():
    """What could not be measured is a line of the table, not a gap."""
    skipped = Measured("fluent-bit", skipped="not on this machine")
    shown = line(cells(target("fluent-bit"), skipped))
    assert shown.startswith("Fluent Bit")
    assert shown.endswith("skipped: not on this machine")
    assert met(target("fluent-bit"), skipped) is None


@pytest.mark.parametrize(("work", "shown"), [("vpc", "50%"), ("processes", "0.50 x"), ("peak", "-")])
def test_ratio_is_shown_as_its_target_is(work, shown):
    """Shares as per cent, multiples as such, values without one."""
    assert ratio(target(work), Measured(work, 1, 0 if work == "peak" else 2)) == shown


def test_lines_have_the_heading_s_columns():
    """Figures stand below their heads."""
    shown = line(cells(target("vpc"), Measured("vpc", 1_000_000, 1_000_000)))
    end = heading().index("measured") + len("measured")
    assert shown[:end].endswith("1,000,000")


def test_json_has_no_nan():
    """Figures that were not found are null, which every reader of JSON knows."""
    rows = as_json([Measured("vpc"), Measured("start", 1, 2)], TARGETS)
    assert json.dumps(rows, allow_nan=False)
    assert [row["work"] for row in rows] == ["vpc", "start"]
    assert rows[0]["measured"] is None


def test_works_are_unique():
    """A work is one row."""
    works = [one.work for one in (*TARGETS, *PEERS)]
    assert len(set(works)) == len(works)


def test_a_work_that_fails_is_a_row():
    """Whatever fails, each of its rows says so, and the rest of the table is still measured."""
    assert all(rows_of(work) for work in WORKS)
    assert rows_of("latency") == ["latency-light", "latency-busy"]
    assert rows_of("vpc") == ["vpc", "vpc-copy"]
    assert rows_of("vpc-json") == ["vpc-json", "vpc-json-alone"]
    assert rows_of("processes") == ["processes", "processes-cpu"]


def test_net_takes_medians_and_leaves_the_start_out():
    """One slow run changes nothing; what a small run costs is no work of the large one."""
    large = [Cost(3.0, 4.0, 100), Cost(3.0, 4.0, 120), Cost(9.0, 9.0, 110)]
    small = [Cost(1.0, 2.0), Cost(1.0, 2.0), Cost(5.0, 5.0)]
    rate = net(large, small, 200)
    assert (rate.cpu, rate.wall, rate.peak) == (100, 100, 120)


def test_net_does_not_make_a_rate_of_noise():
    """A difference within the clock's noise is no figure."""
    assert math.isnan(net([Cost(1.0, 1.0)], [Cost(1.0, 1.0)], 100).cpu)


def test_verdict_of_too_little():
    """The table says that inputs were too small rather than that a target is missed."""
    assert verdict(target("vpc"), Measured("vpc", math.nan, 1)) == "inputs too small to tell"
