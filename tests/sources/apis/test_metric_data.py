"""Batches are full, replies are joined to points."""

from datetime import UTC, datetime

import pytest

from sources.apis.metric_data import (
    POINTS,
    QUERIES,
    STATISTICS,
    Batch,
    Metric,
    Point,
    answer,
    batches,
    event,
    metric_of,
    points_of,
    queries,
)
from sources.apis.window import Window

PERIOD = 300
A, B = (Metric("App", name, (("Host", "a"),)) for name in ("Calls", "Errors"))


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def result(number: int, stat: int, values: dict[int, float], status: str = "Complete") -> dict:
    stamps = [at(second) for second in values]
    return {
        "Id": f"m{number}_{stat}",
        "Timestamps": stamps,
        "Values": [*values.values()],
        "StatusCode": status,
    }


@pytest.mark.parametrize(
    ("metrics", "periods", "sizes"),
    [
        (250, 2, [100, 100, 50]),
        (100, 201, [100]),
        (100, 252, [80, 20]),
        (30, 1440, [14, 14, 2]),
        (2, 100_000, [1, 1]),
        (0, 2, []),
    ],
)
def test_h16_batches_are_as_full_as_the_api_allows(metrics, periods, sizes):
    """500 queries, 100,800 points a request, five of each per metric and period."""
    window = Window(0, periods * PERIOD * 1000)
    found = list(batches([A] * metrics, window, PERIOD))
    assert [len(batch.metrics) for batch in found] == sizes
    for batch in found:
        assert len(queries(batch, PERIOD)) <= QUERIES
        assert len(batch.metrics) * periods * len(STATISTICS) <= POINTS or len(batch.metrics) == 1


def test_queries_name_metric_statistic_and_period():
    """Each query has an id of its own and the metric's dimensions."""
    made = queries(Batch((A, B), Window(0, 1)), PERIOD)
    assert [one["Id"] for one in made] == [f"m{number}_{stat}" for number in (0, 1) for stat in range(5)]
    assert made[6]["MetricStat"] == {
        "Metric": {
            "Namespace": "App",
            "MetricName": "Errors",
            "Dimensions": [{"Name": "Host", "Value": "a"}],
        },
        "Period": PERIOD,
        "Stat": "Average",
    }


def test_results_of_several_pages_are_joined_by_metric_and_time():
    """The last status of an id counts; what a former page brought stays."""
    pages = [result(0, stat, {300: stat}, "PartialData") for stat in range(5)]
    pages += [result(0, stat, {0: 10 + stat}) for stat in range(5)]
    found = answer(Batch((A,), Window(0, 1)), pages)
    assert found.points == (Point(A, 0, (10, 11, 12, 13, 14)), Point(A, 300_000, (0, 1, 2, 3, 4)))
    assert (found.open, found.forbidden) == ((), ())


@pytest.mark.parametrize("status", ["PartialData", "InternalError", None])
def test_h16_a_metric_without_a_whole_answer_is_open(status):
    """One bad or absent statistic of a metric keeps all its points back; others count."""
    results = [result(number, stat, {0: 1.0}) for number in (0, 1) for stat in range(5)]
    if status:
        results[3]["StatusCode"] = status
    else:
        del results[3]
    found = answer(Batch((A, B), Window(0, 1)), results)
    assert {point.metric for point in found.points} == {B}
    assert found.open == (A,)


def test_a_forbidden_metric_is_not_open():
    """It would be forbidden the next time, too."""
    found = answer(Batch((A,), Window(0, 1)), [result(0, stat, {}, "Forbidden") for stat in range(5)])
    assert found == answer(Batch((A,), Window(0, 1)), [result(0, 0, {}, "Forbidden")])
    assert (found.points, found.open, found.forbidden) == ((), (), (A,))


def test_a_point_may_lack_a_statistic():
    """A point that is being written while it is read is not whole."""
    results = [result(0, stat, {0: 1.0} if stat else {}) for stat in range(5)]
    (point,) = answer(Batch((A,), Window(0, 1)), results).points
    assert point.values == (None, 1.0, 1.0, 1.0, 1.0)
    assert not point.whole


def test_statistics_reply_gives_points_with_units_in_order():
    """GetMetricStatistics answers in no order, and tells units."""
    reply = [
        {"Timestamp": at(second), **dict.fromkeys(STATISTICS, float(second)), "Unit": "Bytes"}
        for second in (600, 0, 300)
    ]
    assert list(points_of(A, reply)) == [
        Point(A, second * 1000, (float(second),) * 5, "Bytes") for second in (0, 300, 600)
    ]


def test_an_event_is_the_documented_json():
    """Keys in their order; unit is null when nobody told it."""
    listed = {
        "Namespace": "AWS/EC2",
        "MetricName": "CPU",
        "Dimensions": [{"Name": "Z", "Value": "1"}, {"Name": "A", "Value": "2"}],
    }
    point = Point(metric_of(listed), 0, (2.0, 1.5, 3.0, 1.0, 2.0))
    assert list(event(point, 300, "123456789012", "eu-west-1", "1970-01-01T00:00:00Z").items()) == [
        ("namespace", "AWS/EC2"),
        ("metricName", "CPU"),
        ("dimensions", {"A": "2", "Z": "1"}),
        ("period", 300),
        ("timestamp", "1970-01-01T00:00:00Z"),
        ("sampleCount", 2.0),
        ("average", 1.5),
        ("sum", 3.0),
        ("minimum", 1.0),
        ("maximum", 2.0),
        ("unit", None),
        ("account", "123456789012"),
        ("region", "eu-west-1"),
    ]
