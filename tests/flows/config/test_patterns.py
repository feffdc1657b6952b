"""Patterns for object keys: what is refused, what must pass."""

import re

import pytest

from flows.config.patterns import LONGEST_KEY, bounded, matches


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a*)*b",
        r"(?:a+){2,}b",
        r"(a|a)*b",
        r"(a|ab)*c",
        r"(\w+\s?)*$",
        r"(.*a){12}",
        r"([a-z]+)*\.gz",
        r"(a*,a*)*$",
        r"((ab)*)*c",
        r"(x+x+)+y",
        r"(a?)*b",
        r"((a+){2}b)*c",
        r"(?i:([^a]+A)*$)",
        r"(?=(a+)+b)x",
        r"x|(a+)+b",
        r"((a+)+b)?c",
        r"((?=a)a)*b",
        r"(?:(?:a+)+b)++c",
    ],
)
def test_runaway_patterns_are_refused(pattern):
    """A pattern that can take exponential time on a hostile key is refused when it is read."""
    with pytest.raises(ValueError, match=r"run away|repeats"):
        bounded(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r".*",
        r".*AWSLogs/.*/CloudTrail/.*\.json\.gz",
        r"AWSLogs/\d{12}/(vpcflowlogs|CloudTrail)/",
        r"(?!.*CloudTrail-Digest).*",
        r"^([^/]+/)*dnslogs/",
        r"^(/[^/]+)+$",
        r"(\d{4}-)?\d{2}/",
        r"(?:\d{4}/\d{2}/)+",
        r"(dns|proxy)logs/.*\.csv\.gz$",
        r"(?:abc)+x",
        r"[A-Z0-9]+\.\d{4}-\d{2}-\d{2}-\d{2}\.[a-f0-9]+\.gz",
        r"(?:(?:a|b)+c)?d",
        r"(?i)dnslogs",
        r".*+x",
        r"\w+-\w+-\d+",
        r"a+(?:)+b",
        r"[[:digit:]]+",
        "",
    ],
)
def test_patterns_of_the_trade_pass(pattern):
    """What people write for keys of CloudTrail, flow logs, CloudFront and Umbrella is accepted."""
    assert bounded(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r".*a.*b.*c.*d",
        r"a.*b.*c.*d",
        r"^.*a.*b.*c.*d",
        r"^" + r"a?" * 40 + r"b",
        r"^" + r"a{0,16}" * 9 + r"b",
        r"^" + r"(a*)?" * 4 + r"b",
        r"^" + r"(?:a*|b)" * 4 + r"c",
        r"^" + r"(?:a|aa)" * 40 + r"b",
        r"^([!x]*/+)([]^/!]*/+)([]^/]+1/n)d",
        r"a.*b[^/]*/.*c[a-z]+-",
    ],
)
def test_too_many_greedy_parts_are_refused(pattern):
    """Four .* before something, in whatever clothes, would cost the fourth power of the key's length."""
    with pytest.raises(ValueError, match=r"too many parts such as \.\*"):
        bounded(pattern)


@pytest.mark.parametrize("pattern", [r".*a.*b.*c", r"^.*a.*b.*c.*$", r"a.*b.*c"])
@pytest.mark.parametrize("end", ["", "\n"], ids=["", "a line ends"])
def test_what_passes_ends_soon_on_a_hostile_key(pattern, end):
    """The dearest patterns that pass come to an end on the dearest key (or the test times out)."""
    assert not matches(bounded(pattern), "a" * 500 + "b" * 523 + end)


def test_back_references_are_refused():
    """A back-reference makes matching exponential in ways that cannot be seen from the pattern."""
    with pytest.raises(ValueError, match="back-reference"):
        bounded(r"(a.)\1")


def test_broken_pattern_is_told():
    """A pattern that does not compile says why."""
    with pytest.raises(ValueError, match="no regular expression"):
        bounded("(")


def test_matching_searches_within_the_longest_key():
    """A pattern is searched anywhere, but not beyond the longest key that S3 has."""
    assert matches(re.compile("b"), "abc")
    assert not matches(re.compile("b"), "a" * LONGEST_KEY + "b")


@pytest.mark.parametrize(
    "pattern",
    [
        ".*b",
        "^a",
        "b",
        ".*z|b",
        "(?:.*b)",
        "",
        "(?m)^b",
        "^b",
        r"\Ab",
        "(?s).*b",
        ".*^b",
        r".*(?<=\n)b",
        ".*$",
        ".*+",
    ],
)
@pytest.mark.parametrize("key", ["abc", "a\nb", "c", "\nab", "", "a\n", "\n\nb"])
def test_matching_is_what_search_finds(pattern, key):
    """Shortcuts for patterns that begin with ^ or .* change nothing in what is found."""
    assert matches(re.compile(pattern), key) == (re.search(pattern, key) is not None)
