"""Formats that look like another's land in their own table, by what they hold and where they lie."""

from pathlib import Path

import pytest

from flows.catalogue.object_types import type_of
from flows.catalogue.services import recognise
from transforms.object_kinds import alb_kind, cloudflare_kind, elb_kind
from transforms.tags import place

GOLDEN = Path(__file__).parents[1] / "golden"
TAGS = {
    "aws_sqs_alb/neighbours": ["connection", "connection", "unknown", "connection", "unknown", "access"],
    "aws_sqs_alb/connections": ["connection"],
    "aws_sqs_elb/neighbours": ["unknown", "access"],
    "aws_sqs_cloudflare_logpush/datasets": ["firewall", "access", "http", "unknown", "firewall"],
    "cisco-umbrella/cloud-firewall": ["firewall"],
    "cisco-umbrella/no-folder": ["dns"],
    "audits_s3/array": ["ec2", "s3"],
    "audits_s3/insight-among-lines": ["ec2", "insights", "s3"],
    "audits_s3/insight-alone": ["insights"],
    "aws_sqs_config/items": ["events", "events", "events"],
    "flowlogs/one-row": ["flow"],
    "cloudfrontlogs/one-row": ["web_1"],
}
"""Golden case → the last level of each event's tag."""
MIXED = ["cloud.aws.waf.logs", "web.aws.alb.connection", "web.aws.elb.unknown"]


@pytest.mark.parametrize("case", TAGS)
def test_r9_each_line_has_its_own_table(case):
    """What a golden file holds is tagged by key and content, never by its neighbour's table."""
    lines = (GOLDEN / f"{case}.expected").read_bytes().splitlines()
    assert [line.partition(b"\t")[0].decode().rpartition(".")[2] for line in lines] == TAGS[case]


def test_r9_a_queue_of_several_types_knows_neighbours_too():
    """In Control Tower's queue the same holds; WAF's logs of CloudFront are WAF's."""
    lines = (GOLDEN / "aws_sqs_control_tower/neighbours.expected").read_bytes().splitlines()
    assert sorted(line.partition(b"\t")[0].decode() for line in lines) == MIXED


@pytest.mark.parametrize("category", ["", "-Digest", "-Insight", "-NetworkActivity", "-Aggregated", "-Anew"])
def test_r9_each_folder_of_cloudtrail_is_cloudtrails(category):
    """Network activity and aggregated events have folders of their own below a trail's."""
    found = type_of(f"o-1/AWSLogs/o-1/123456789012/CloudTrail{category}/us-east-1/2026/01/02/a.json.gz")
    assert found is not None
    assert found.name == "aws_sqs_cloudtrail"


@pytest.mark.parametrize(
    "case", ["audits_s3/array", "aws_sqs_config/items", "flowlogs/one-row", "cloudfrontlogs/one-row"]
)
def test_r9_fixtures_are_recognised(case):
    """Arrays of records, single records and single rows are told without a name, whatever their key."""
    for path in (GOLDEN / case).rglob("*.*"):
        found = recognise("x", path.read_bytes())
        assert found is not None
        assert found.name == case.partition("/")[0]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (alb_kind, b"tls 2.0 2026-01-02T03:04:05 net/e/c g 1.2.3.4:1 10.0.0.1:443 5 2 98 246 -"),
        (alb_kind, b"2026-01-02T03:04:05.678901Z front 1.2.3.4:2817 10.0.0.1:80 0.1 0.1 0.1 200 200 0 29"),
        (elb_kind, b"https 2026-01-02T03:04:05.6Z app/f/6 1.2.3.4:2817 10.0.0.1:80 0.0 0.0 0.0 200 200 0"),
        (elb_kind, b"2026-01-02T03:04:05.678901Z 1.2.3.4 36280 443 TLSv1.3 X 1.2"),
        (cloudflare_kind, b'{"QueryName":"a.example","RayID":"a"}'),
    ],
)
def test_r9_a_neighbours_line_is_not_put_into_the_table(kind, line):
    """A line of another balancer, or of a data set without a table, is tagged as unknown."""
    assert kind("x", line) == "unknown"


def test_r9_a_key_that_says_connections_is_believed_for_lines_of_a_new_form():
    """A connection log whose lines have changed is still no access log."""
    assert alb_kind("a/conn_log_1_x.log.gz", b"something new") == "connection"


def test_the_place_in_a_key_of_network_firewall():
    """Account and region are told by keys that name the kind of log before the region."""
    key = "AWSLogs/123456789012/network-firewall/alert/us-east-1/edge/2026/01/02/03/x.log.gz"
    assert place(key, "", "") == ("123456789012", "us-east-1")
