"""CloudFront logs: tab-separated lines, JSON and Parquet rows, web and RTMP."""

import json
from functools import partial

import pytest

from tests.transforms.blocks import lines_of, only_item
from transforms.block import Origin, Poison
from transforms.cloudfront import TEMPLATE, column, detect, transform
from transforms.line_logs import LineLogOptions
from transforms.tagged import Stamp
from transforms.tags import TagRule

ORIGIN = Origin("cloudfrontlogs", object="s3://b/cdn/E2X.2026-01-02-03.a.gz")
FIELDS = (
    b"date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) time-taken"
)
LINE = b'2026-01-02\t03:04:05\tFRA60-P1\t122254\t1.2.3.4\tGET\td1.example\t/a%20b,\\x20"c\t000\t-\t0.199\n'
RTMP = b"date time x-edge-location c-ip x-event sc-bytes x-cf-status"


block = partial(lines_of, ORIGIN)
only = partial(only_item, transform)
settings = partial(LineLogOptions, TagRule(TEMPLATE))


@pytest.mark.parametrize(
    ("header", "options", "tag"),
    [
        (FIELDS, settings(), "unknown"),
        (RTMP, settings(), "unknown"),
        (FIELDS, settings(auto_event_type=True), "web_1"),
        (RTMP, settings(auto_event_type=True), "rmtp_1"),
        (b"", settings(auto_event_type=True), "web_1"),
        (b"x-event-id date", settings(auto_event_type=True), "web_1"),
        (
            RTMP,
            settings(auto_event_type=True, event_type=lambda key: "mine" if "cdn/" in key else ""),
            "mine",
        ),
    ],
)
def test_tags(header, options, tag):
    """RTMP logs are told by their own field; the configuration's word comes before all."""
    made = only(options, block(LINE, header))
    assert (made.tag, made.payload, made.count) == (f"cloud.aws.cloudfront.{tag}", LINE, 1)


def test_h12_json_by_fields():
    """Values stay URL-encoded, `-` is null, known numbers are numbers when they look like one."""
    found = json.loads(only(settings(json=True), block(LINE, FIELDS)).payload)
    assert list(found) == FIELDS.decode().split()
    assert found["cs-uri-stem"] == '/a%20b,\\x20"c'
    assert (found["sc-bytes"], found["time-taken"], found["sc-status"]) == (122254, 0.199, "000")
    assert found["cs(Referer)"] is None


def test_h12_json_lines_of_version_2_pass():
    """A log that is JSON already is sent as it is, whatever `format` says."""
    payload = b'{"date":"2026-01-02","cs-method":"GET"}\n'
    for options in (settings(), settings(json=True)):
        assert only(options, block(payload)).payload == payload
    assert only(settings(stamp=Stamp("pro")), block(payload)).payload.startswith(
        b'{"@devo_environment":"pro",'
    )


def test_json_needs_fields():
    """Without `#Fields` nobody knows the columns: the rows go to quarantine."""
    item = only(settings(json=True), block(LINE))
    assert isinstance(item, Poison)
    assert (item.reason, item.body) == ("header_unknown", LINE)


def test_h12_parquet_columns_are_spelt_as_in_fields():
    """Parquet has `cs_host` where `#Fields` has `cs(Host)`."""
    names = ["cs_host", "cs_user_agent", "cs_uri_stem", "x_edge_location", "date", "cs_cookie", "cs_referer"]
    spelt = [
        "cs(Host)",
        "cs(User-Agent)",
        "cs-uri-stem",
        "x-edge-location",
        "date",
        "cs(Cookie)",
        "cs(Referer)",
    ]
    assert list(map(column, names)) == spelt


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"#Version: 1.0\n#Fields: " + FIELDS + b"\n" + LINE, True),
        (b"\xef\xbb\xbf#Version: 1.0\r\n#Fields: " + RTMP + b"\r\n", True),
        (b"#Fields: " + FIELDS, True),
        (b'{"date":"x","x-edge-location":"FRA"}\n', True),
        (b"PAR1 date time x_edge_location", True),
        (b"#Software: IIS\n#Fields: date time s-ip\n", False),
        (b"# x-edge-location\n", False),
        (b'{"Records":[]}', False),
        (b"PAR1 version account_id", False),
        (b"", False),
    ],
)
def test_cloudfront_logs_are_recognised(head, expected):
    """By the fields that only CloudFront has, in any of its three forms."""
    assert detect("x", head) is expected
