"""Patterns for object keys: what is refused, what must pass, what both dialects mean by it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.config.patterns import compiled


@pytest.mark.parametrize(
    "pattern",
    [
        r".*",
        r".*AWSLogs/.*/CloudTrail/.*\.json\.gz",
        r"AWSLogs/\d{12}/(vpcflowlogs|CloudTrail)/",
        r"(?!.*CloudTrail-Digest).*",
        r"^(?!.*(Digest|Insight)).*\.json\.gz$",
        r"(?!.*Digest).*json",
        r"(?i)(?!.*digest).*json",
        r"^([^/]+/)*dnslogs/",
        r"(\d{4}-)?\d{2}/",
        r"(?:\d{4}/\d{2}/)+",
        r"(dns|proxy)logs/.*\.csv\.gz$",
        r"[A-Z0-9]+\.\d{4}-\d{2}-\d{2}-\d{2}\.[a-f0-9]+\.gz",
        r"(?i)dnslogs",
        r"\w+-\w+-\d+",
        r"CloudTrail-Digest",
        r"ConfigWritabilityCheckFile",
        r"[[:digit:]]+",
        r"^(?P<log_type>[^/]+)/",
        r"(a+)+b",
        "",
    ],
)
def test_patterns_of_the_trade_pass(pattern):
    """What Devo documents, and what people write for keys of AWS's logs, is accepted."""
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"(a.)\1", "no back-references: write"),
        (r"(?P<a>.)(?P=a)", "no back-references: write"),
        (r"a(?=b)", "no look-around but"),
        (r"(?<!a)b", "no look-around but"),
        (r"(?!a)b|c", "no look-around but"),
        (r"x(?!a)b", "no look-around but"),
        (r"(?!a(?!b))c", "no look-around but"),
        (r"(?!a", "no look-around but"),
        (r".*+x", "bad repetition operator"),
        ("(", "missing"),
        ("[a-", "missing"),
        ("a{100000}", "invalid repetition size"),
        (r"\w{1000}", "pattern too large"),
        ("\ud800", "surrogate"),
    ],
)
def test_what_re2_cannot_do_is_refused(pattern, told):
    """A pattern that needs to go back, or would fill the memory, says why, and what to write."""
    with pytest.raises(ValueError, match=f"is no regular expression.*{told}"):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        (r"(?!.*Digest).*json", "a/x.json", "a/CloudTrail-Digest/x.json"),
        (r"(?!.*Digest).*json", "a/x.json", "a/x.csv"),
        (r"(?!tmp/)json", "a/x.json", "tmp/x.json"),
        (r"^(?!a|b)(?![)]x).*c$", "xc", "ac"),
        (r"^(?!a|b)(?![)]x).*c$", "xc", ")xc"),
        (r"(?i)(?!.*DIGEST).*JSON", "x.json", "digest/x.json"),
    ],
)
def test_a_pattern_that_begins_with_what_must_not_be(pattern, found, not_found):
    """`(?!X)` at the beginning means: X is not found at the key's beginning, and the rest is found."""
    assert compiled(pattern).fits(found)
    assert not compiled(pattern).fits(not_found)


SAME = (
    r"\d+$",
    r"^\w+/",
    r"\W",
    r"\D\d",
    r"\s",
    r"\S+\s\S",
    r"a\Z",
    r"b$",
    r"(?m)^b",
    r"(?m)a$",
    r"^b",
    r"\Ab",
    r"(?s)a.b",
    r".*b",
    r"[]a]",
    r"[^]a]",
    r"[\]a]b",
    r"a{,2}b",
    r"^a{,1}b",
    r"[{,3}]",
    r"\u00e9",
    r"[\u0416-\u0420]",
    r"[\w-]+-",
    r"(?i)É",
    r"\\d",
    r"\$",
    r"\[a",
    "ü",
)


@pytest.mark.parametrize("pattern", SAME)
@given(key=st.text(alphabet="ab/\n\\d$[]{},3-1 éÉЖ٣ü_\u00a0", max_size=12))
def test_matching_is_what_python_finds(pattern, key):
    """What both dialects can say is found in the same keys, whatever the script."""
    assert compiled(pattern).fits(key) == (re.search(pattern, key) is not None)


def test_named_groups():
    """Named groups are told, and found."""
    pattern = compiled(r"^(?P<team>[^/]+)/(?P<day>\d+)?")
    assert pattern.groups == {"team", "day"}
    found = pattern.search("prüfung/x")
    assert found
    assert found.groupdict() == {"team": "prüfung", "day": None}


def test_a_bracket_within_a_set_is_itself():
    """`[[:digit:]]` is a set and a bracket, as in Python, not POSIX's digits."""
    assert compiled(r"^[[:digit:]]+$").fits("[]")
    assert not compiled(r"[[:digit:]]+").fits("1")


def test_half_a_character_in_a_key_is_no_end():
    """A key with a lone surrogate, which a notice can have, is matched as any other."""
    assert compiled("b$").fits("a\ud800b")
    assert not compiled("^b").fits("\ud800b")
