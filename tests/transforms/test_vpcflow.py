"""VPC flow logs: raw lines pass untouched, JSON goes by the header, tags by settings and key."""

import json
import re
from functools import partial

import pytest

from tests.transforms.blocks import lines_of, only_item
from transforms.block import Origin, Poison
from transforms.line_logs import LineLogOptions
from transforms.tagged import Stamp
from transforms.tags import TagRule
from transforms.vpcflow import (
    DEFAULT_FIELDS,
    NUMBERS,
    TEMPLATE,
    column,
    detect,
    is_header,
    transform,
)

ORIGIN = Origin(
    "flowlogs", "9", "us-east-1", object="s3://b/AWSLogs/000123456789/vpcflowlogs/eu-west-3/x.log.gz"
)
ROW = b"2 000123456789 eni-0a 10.0.0.1 10.0.0.2 443 50000 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
NODATA = b"2 000123456789 eni-0a - - - - - - - 1431280876 1431280934 - NODATA\n"
TGW = b"version account-id tgw-id tgw-attachment-id srcaddr packets-lost-blackhole log-status"


block = partial(lines_of, ORIGIN)
only = partial(only_item, transform)


def settings(tag=TagRule(TEMPLATE), **more):  # noqa: B008 - it never changes
    return LineLogOptions(tag, **more)


@pytest.mark.parametrize(
    ("options", "tag"),
    [
        (settings(), "cloud.aws.vpc.unknown"),
        (settings(auto_event_type=True), "cloud.aws.vpc.flow"),
        (settings(event_type=lambda _key: "tgw"), "cloud.aws.vpc.tgw"),
        (settings(event_type=lambda _key: ""), "cloud.aws.vpc.unknown"),
        (settings(TagRule("my.app.{event_type}"), auto_event_type=True), "my.app.flow"),
        (settings(TagRule(TEMPLATE, "account_region")), "cloud.aws.vpc.unknown.000123456789.eu-west-3"),
    ],
)
def test_tags(options, tag):
    """Unknown by default, flow when asked for, the configuration's own word before both."""
    made = only(options, block(ROW + NODATA, DEFAULT_FIELDS))
    assert (made.tag, made.payload, made.count) == (tag, ROW + NODATA, 2)


def test_the_key_decides_the_event_type():
    """Patterns of the configuration are asked with the object's key."""
    asked = []
    only(settings(event_type=lambda key: asked.append(key) or ""), block(ROW))
    assert asked == [ORIGIN.key]


def test_h11_json_by_the_header():
    """NODATA has nulls, account ids keep their zeros, ports and sizes are numbers."""
    made = only(settings(json=True), block(ROW + NODATA, DEFAULT_FIELDS))
    first, second = map(json.loads, made.payload.splitlines())
    assert list(first) == DEFAULT_FIELDS.decode().split()
    assert (first["account-id"], first["srcport"], first["action"]) == ("000123456789", 443, "ACCEPT")
    assert (second["srcaddr"], second["bytes"], second["start"], second["log-status"]) == (
        None, None, 1431280876, "NODATA",
    )  # fmt: skip


def test_h11_json_of_any_fields_in_any_order():
    """The header names the columns: transit gateways, reordered and future fields come out right."""
    header = b"log-status future-field bytes tgw-id"
    made = only(settings(json=True), block(b"OK 5 7 tgw-1\n", header))
    assert made.payload == b'{"log-status":"OK","future-field":"5","bytes":7,"tgw-id":"tgw-1"}\n'


def test_json_without_header():
    """Rows of the default form are known by their width; others go to quarantine."""
    assert json.loads(only(settings(json=True), block(ROW)).payload)["dstport"] == 50000
    poison = only(settings(json=True), block(b"2 eni-1 OK\n"))
    assert isinstance(poison, Poison)
    assert (poison.reason, poison.body) == ("header_unknown", b"2 eni-1 OK\n")


def test_junk_among_rows_passes_raw_and_is_told_apart_in_json():
    """As documented: a raw line is an event whatever it says; with JSON a line of other fields is poison."""
    junk = b"hello world\n\x01\x02 binary\n"
    assert only(settings(), block(ROW + junk + ROW, DEFAULT_FIELDS)).payload == ROW + junk + ROW
    rows, poison = transform(settings(json=True))(block(ROW + junk + ROW, DEFAULT_FIELDS))
    assert (rows.count, poison.reason, poison.body) == (2, "row_width", junk)


def test_environment_in_json_only():
    """A raw line has no place for `@devo_environment`."""
    stamp = Stamp("pro")
    assert only(settings(stamp=stamp), block(ROW)).payload == ROW
    made = only(settings(json=True, stamp=stamp), block(ROW))
    assert made.payload.startswith(b'{"@devo_environment":"pro","version":2,')


@pytest.mark.parametrize("line", [DEFAULT_FIELDS, TGW, b"srcaddr", b"log-status version", b"vpc-id  end"])
def test_h11_headers(line):
    """A header is names only, at least one of them known, in any order and number."""
    assert is_header(line)


@pytest.mark.parametrize(
    "line",
    [
        ROW[:-1],
        NODATA[:-1],
        b"",
        b"- - -",
        b"ACCEPT OK",
        b"ingress",
        b"1 2",
        b"eni-0a",
        b"hello world",
        b"Version end",
    ],
)
def test_h11_rows_are_no_headers(line):
    """Digits at the start, dashes and capitals stand in rows; unknown words alone name nothing."""
    assert not is_header(line)


def test_parquet_columns_are_spelt_as_in_text():
    """`account_id` and `account-id` are one field."""
    assert list(map(column, ["account_id", "tcp_flags", "bytes"])) == ["account-id", "tcp-flags", "bytes"]


@pytest.mark.parametrize(
    ("key", "head", "expected"),
    [
        ("x", DEFAULT_FIELDS + b"\n" + ROW, True),
        ("x", b"\xef\xbb\xbf" + TGW + b"\r\n", True),
        ("x", ROW, True),
        ("x", b"6 TransitGateway 000123456789 tgw-1 x\n", True),
        ("x", b"PAR1 version account_id srcaddr", True),
        ("x", b"PAR1 date x_edge_location", False),
        ("AWSLogs/1/vpcflowlogs/x", b"a b c d\n", True),
        ("AWSLogs/1/vpcflowlogs/x", b"", False),
        ("x", b"a b c d\n", False),
        ("x", b'{"version":2}', False),
        ("x", b"", False),
    ],
)
def test_flow_logs_are_recognised(key, head, expected):
    """By header, columns or the form of a row; by name only when the content does not speak against it."""
    assert detect(key, head) is expected


def test_numbers_are_names_of_fields():
    """The list of numeric fields has no account or address in it."""
    assert "account-id" not in NUMBERS
    assert all(re.fullmatch("[a-z-]+", name) for name in NUMBERS)
