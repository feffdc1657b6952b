"""A journal in a bucket: written, listed, read and cleared once before it must hold."""

import pytest

from tests.flows.check.conftest import ALLOWED, config

NEEDED = ("s3:PutObject", "s3:ListBucket", "s3:GetObject", "s3:DeleteObject")


@pytest.fixture
def ask(look, bob, unique):
    """Return what checks a configuration whose journal is in a bucket."""
    kept = bob.aws.bucket(unique("kept"))
    bucket = bob.aws.bucket(unique("vendor"))
    bob.aws.put(bucket, "2026-03-03/a.csv.gz", b"x")
    listed = {"cisco-umbrella": {"regions": ["us-east-1"], "s3_listing": f"s3://{bucket}/"}}

    def checked():
        made = config(listed, bob.keys)
        made["globals"] = {**made.get("globals", {}), "journal": f"s3://{kept}/journal/"}
        return look(made)

    return checked


def test_a_bucket_that_takes_rows(ask, bob):
    """All four are allowed: it is told, and nothing is left behind."""
    bob.may(*ALLOWED, *NEEDED)
    assert "it can be written and read" in ask().line("journal")


@pytest.mark.parametrize("action", NEEDED)
def test_each_permission_is_missed(ask, bob, action):
    """Without one of them the line fails and names it."""
    bob.may(*ALLOWED, *(one for one in NEEDED if one != action))
    found = ask()
    assert action in found.line("journal")
    assert found.of("fail")
