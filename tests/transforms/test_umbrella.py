"""Cisco Umbrella logs: raw lines, routed by folder, whatever columns they have."""

import pytest

from transforms.block import Block, Origin
from transforms.line_logs import LineLogOptions
from transforms.tags import TagRule
from transforms.umbrella import TEMPLATE, detect, folder, is_header, transform

ROW = b'"2026-01-02 03:04:05","Laptop","Laptop, Site","10.0.0.1", "1.2.3.4","Allowed"\n'
AUDIT = b'"","2026-01-02 03:04:05","a@example.org","A","roamingdevices","update","1.2.3.4","before","after"\n'


def tag(key: str, options: LineLogOptions | None = None) -> str:
    (made,) = transform(options or LineLogOptions(TagRule(TEMPLATE)))(
        Block(ROW, 1, Origin("cisco-umbrella", object=f"s3://b/{key}"))
    )
    assert (made.payload, made.count) == (ROW, 1)
    return made.tag


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("dnslogs/2026-01-02/2026-01-02-03-04-ab12.csv.gz", "dns"),
        ("1234_abcd/iplogs/2026-01-02/x.csv.gz", "ip"),
        ("p/proxylogs/x.csv.gz", "proxy"),
        ("p/firewalllogs/x.csv.gz", "firewall"),
        ("p/cdfwlogs/x.csv.gz", "firewall"),
        ("p/auditlogs/x.csv.gz", "audit"),
        ("p/dlplogs/x.csv.gz", "dlp"),
        ("p/intrusionlogs/x.csv.gz", "intrusion"),
        ("p/ipslogs/x.csv.gz", "intrusion"),
        ("dns/x.csv", "dns"),
        ("dns_logs/x.csv", "dns"),
        ("DNSLogs/x.csv", "dns"),
        ("proxylogs/dnslogs/x.csv", "dns"),
        ("captures/dns.csv", "dns"),
        ("captures/umbrella-proxylogs.log", "proxy"),
        ("p/ztnalogs/x.csv.gz", "unknown"),
        ("p/mydnsstuff/x.csv.gz", "unknown"),
        ("clips/x.csv", "unknown"),
        ("", "unknown"),
    ],
)
def test_h13_the_folder_is_the_table(key, table):
    """Only whole names of folders (or, without one, of the file) tell; a new folder is `unknown`."""
    assert tag(key) == f"sig.cisco.umbrella.{table}"


def test_the_configuration_s_word_comes_first():
    """Patterns on the key decide before the folder."""
    options = LineLogOptions(
        TagRule("my.{event_type}"), event_type=lambda key: "ztna" if "ztna" in key else ""
    )
    assert tag("p/ztnalogs/x.csv", options) == "my.ztna"
    assert tag("p/dnslogs/x.csv", options) == "my.dns"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'"Timestamp","Most Granular Identity","Identities","InternalIp","HTTP(S) Errors"', True),
        (b"Timestamp,Policy Identity,Identities,Action", True),
        (b'"Timestamp", "A", "B", "C"', True),
        (ROW[:-1], False),
        (AUDIT[:-1], False),
        (b'"a","b"', False),
        (b'"a","b","2026-01-02 x","d"', False),
        (b"", False),
    ],
)
def test_h13_optional_header(line, expected):
    """Names begin with letters, and every event has a date."""
    assert is_header(line) is expected


@pytest.mark.parametrize(
    ("key", "head", "expected"),
    [
        ("x/dnslogs/y.csv.gz", ROW, True),
        ("x/auditlogs/y.csv.gz", AUDIT, True),
        ("umbrella/y.csv", b"\xef\xbb\xbf" + ROW, True),
        ("dns.csv", b'"Timestamp","A","B","C"\r\n' + ROW, True),
        ("x/y.csv", ROW, False),
        ("x/dnslogs/y.csv.gz", b"hello,a,b,c,d", False),
        ("x/dnslogs/y.csv.gz", b"", False),
        ("x/dnslogs/y.csv.gz", b'{"a":1}', False),
    ],
)
def test_umbrella_logs_are_recognised(key, head, expected):
    """A dated row of CSV in a place that tells Umbrella."""
    assert detect(key, head) is expected


def test_folders_are_told_of_long_keys():
    """A key of a thousand characters is looked at in no time, folder by folder."""
    assert folder("a-" * 500 + "/dnslogs/x") == "dns"
    assert folder("dns-" * 250) == "dns"
