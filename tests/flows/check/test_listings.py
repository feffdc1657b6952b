"""Buckets that are listed: one page of them, and what is said when it cannot be had."""

import pytest

from tests.flows.check.conftest import ALLOWED, config

LISTS = ("s3:ListBucket", "s3:GetObject")


@pytest.fixture
def listed(bob, unique):
    """Return the name of a bucket with two days of a vendor's objects."""
    bucket = bob.aws.bucket(unique("vendor"))
    for day in (3, 4):
        bob.aws.put(bucket, f"1234567_ab/dnslogs/2026-03-0{day}/2026-03-0{day}-05-10-abcd.csv.gz", b"x")
    return bucket


@pytest.fixture
def ask(look, bob, listed):
    """Return what checks the listing of a prefix of it."""

    def checked(prefix):
        place = f"s3://{listed}/{prefix}"
        return look(config({"cisco-umbrella": {"regions": ["us-east-1"], "s3_listing": place}}, bob.keys))

    return checked


def test_a_bucket_that_may_be_listed_and_read(ask, bob, listed):
    """One page is listed, and an object of it is proven to be readable; no queue is missed."""
    bob.may(*ALLOWED, *LISTS)
    found = ask("1234567_ab/dnslogs/")
    assert "0 objects and 2 folders, 2 of them of dates" in found.line("listing")
    assert f"s3://{listed}/1234567_ab/" in found.line("listing")
    assert not found.of("warn")
    assert not found.of("fail")
    assert "1 objects" in ask("1234567_ab/dnslogs/2026-03-03/").line("listing")


def test_a_listing_that_is_not_allowed(ask, bob, listed):
    """The action, the bucket and the prefix are named, as the printed policy has them."""
    bob.may(*ALLOWED, "s3:GetObject")
    line = ask("1234567_ab/").line("permission")
    assert "s3:ListBucket" in line
    assert f"arn:aws:s3:::{listed}" in line


def test_objects_that_may_be_listed_and_not_read(ask, bob):
    """A listing without GetObject would find all and collect nothing."""
    bob.may(*ALLOWED, "s3:ListBucket")
    assert "s3:GetObject" in ask("1234567_ab/dnslogs/2026-03-03/").line("permission")


def test_a_prefix_of_which_nothing_is_there(ask, bob):
    """An empty first page is a warning: a wrong prefix would be silent for ever."""
    bob.may(*ALLOWED, *LISTS)
    assert "nothing is there" in ask("1234567_abc/").line("listing")


def test_keys_without_folders_of_dates_cost_more(ask, bob, listed, monkeypatch):
    """Each listing would ask for all of them: that is told before it costs."""
    bob.may(*ALLOWED, *LISTS)
    for number in range(1_001):
        bob.aws.put(listed, f"flat/{number:04}.log", b"x")
    found = ask("flat/")
    assert "1000+ objects" in found.line("listing")
    assert "narrow the prefix" in found.line("listing_wide")
