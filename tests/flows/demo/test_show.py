"""What the reader of the demo sees."""

from io import StringIO

import pytest
from rich.console import Console

from flows.demo.show import COMPLETE, report, show, summary
from flows.demo.tally import DemoProgress, Found

HALF = [DemoProgress("audits_s3", 2, 2), DemoProgress("logs", 10, 3)]
WHOLE = [DemoProgress("audits_s3", 2, 2), DemoProgress("logs", 10, 10)]


def test_summary_of_a_complete_run():
    """Each tag has a line with count, comparison and collectors; a header and a sum stand around them."""
    found = [
        Found("cloud.aws.cloudtrail.ec2", 5, 0, 0, 0, {"audits_s3": 3, "audits_api": 2}),
        Found("cloud.aws.cloudwatch.logs", 360, 0, 0, 0, {"logs": 360}),
    ]
    assert summary(found).splitlines() == [
        "tag                        events  content    collected by",
        "cloud.aws.cloudtrail.ec2        5  identical  audits_s3 3, audits_api 2",
        "cloud.aws.cloudwatch.logs     360  identical  logs",
        "total                         365  identical  3 services",
    ]


def test_summary_says_what_differs():
    """Missing, repeated and unknown events are told per tag and in sum."""
    found = [
        Found("a.b", 3, 2, 1, 0, {"s": 2}),
        Found("c.d", 1, 1, 0, 1, {}),
    ]
    assert summary(found).splitlines() == [
        "tag    events  content                           collected by",
        "a.b         3  2 missing, 1 repeated             s",
        "c.d         1  1 missing, 1 unknown",
        "total       4  3 missing, 1 repeated, 1 unknown  1 service",
    ]


def test_report_for_machines():
    """The same as one object: sums, what each service collected, and each tag; `ok` is the exit code."""
    tags = [Found("a.b", 3, 0, 1, 0, {"s": 2}), Found("c.d", 5, 0, 0, 0, {"s": 1, "t": 4})]
    told = report(tags, complete=True)
    assert told["meaning"] == COMPLETE
    assert (told["ok"], told["events"], told["identical"]) == (True, 8, False)
    assert told["services"] == {"s": 3, "t": 4}
    assert [(one["tag"], one["events"], one["identical"], one["repeated"]) for one in told["tags"]] == [
        ("a.b", 3, False, 1),
        ("c.d", 5, True, 0),
    ]
    assert report(tags, complete=False)["meaning"].startswith("An event is missing")


@pytest.mark.parametrize("terminal", ["", "dumb"], ids=["a pipe", "a dumb terminal"])
def test_plain_lines_without_a_terminal(terminal):
    """Elsewhere than on a terminal each change is one plain line, and no change is none."""
    out = StringIO()
    console = Console(file=out, force_terminal=bool(terminal), _environ={"TERM": terminal})
    with show(console) as update:
        update(HALF, 4)
        update(HALF, 4)
        update(WHOLE, 4)
        update(WHOLE, 0)
    assert out.getvalue().splitlines() == [
        "5 of 12 events arrived, 1 of 2 services complete, 4 messages waiting",
        "12 of 12 events arrived, 2 of 2 services complete, 4 messages waiting",
        "12 of 12 events arrived, 2 of 2 services complete, 0 messages waiting",
    ]


def test_the_table_fits_a_small_terminal():
    """Ten services fit 80 columns and 24 lines, each with its numbers."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    ten = [
        DemoProgress(f"sqs-cloudwatch-consume{number}", 1_000_000 + number, number) for number in range(10)
    ]
    with show(console) as update:
        update(ten, 3)
    last = out.getvalue().rpartition("AWS → ")[2]
    assert all(f"{one.service} │ {one.put_in} │" in last for one in ten)
    assert "3 messages waiting in queues" in last
    assert len(last.splitlines()) < 24
