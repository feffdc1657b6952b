"""CloudTrail's digests: what is whole is valid, and every way to tamper with the chain is told."""

import gzip
from datetime import timedelta

import pytest

from flows.proof.digests import DigestStored, place_of, walk
from tests.flows.proof.trails import ACCOUNT, FIRST, Trail


def verdicts(trail, start=FIRST):
    """Return hour → problem of each digest that was walked to, and the hours before which is a gap."""
    fetch = lambda _bucket, key: trail.objects.get(key)  # noqa: E731
    found = list(walk(sorted(trail.objects), trail.bucket, start, fetch, lambda _: trail.keys))
    hours = {name: hour for hour, name in enumerate(trail.names)}
    return {hours[one.key]: one.problem for one in found}, [hours[one.key] for one in found if one.before]


@pytest.fixture
def trail():
    """Return a trail of five hours."""
    return Trail()


def test_a_whole_chain_is_valid(trail):
    """Every hour is there, signed, and names the one before; the first names none."""
    assert verdicts(trail) == (dict.fromkeys(range(5), ""), [])


def test_the_walk_ends_at_the_start(trail):
    """What lies before the range is not read."""
    assert list(verdicts(trail, FIRST + timedelta(hours=3, minutes=30))[0]) == [4, 3]


def _deleted(trail):
    del trail.objects[trail.names[2]]


def _altered(trail):
    stored = trail.objects[trail.names[2]]
    content = gzip.decompress(stored.body).replace(b'"SHA-256"', b'"SHA-257"')
    trail.objects[trail.names[2]] = DigestStored(gzip.compress(content), stored.metadata)


def _signed_by_another(trail):
    trail.again(2, key="stranger")


def _moved(trail):
    stored = trail.objects[trail.names[1]]
    trail.objects[trail.names[2]] = stored


def _unsigned(trail):
    trail.objects[trail.names[2]] = DigestStored(trail.objects[trail.names[2]].body, {})


def _no_gzip(trail):
    stored = trail.objects[trail.names[2]]
    trail.objects[trail.names[2]] = DigestStored(b"junk", stored.metadata)


def _unknown_key(trail):
    trail.again(2, before=None, digestPublicKeyFingerprint="f9")


def _cut_short(trail):
    stored = trail.objects[trail.names[2]]
    trail.objects[trail.names[2]] = DigestStored(stored.body[:-4], stored.metadata)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (_deleted, "it has been deleted"),
        (_altered, "its signature is wrong"),
        (_signed_by_another, "its signature is wrong"),
        (_moved, "it has been moved from"),
        (_unsigned, "it has no signature"),
        (_no_gzip, "it is not gzip"),
        (_unknown_key, "CloudTrail has no public key f9"),
        (_cut_short, "it is cut short"),
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_each_harm_is_told_and_the_walk_goes_on(trail, harm, problem):
    """The harmed hour is named with what is wrong; those before it are still looked at."""
    harm(trail)
    found, gaps = verdicts(trail)
    assert found.pop(2).startswith(problem)
    assert found == dict.fromkeys((4, 3, 1, 0), "")
    assert gaps == []


def test_a_chain_that_was_cut_is_a_gap(trail):
    """Logging was switched off and on again: the digest after it names none before."""
    trail.add(5, before=None)
    found, gaps = verdicts(trail)
    assert found == dict.fromkeys(range(6), "")
    assert gaps == [5]


def test_a_key_tells_its_place():
    """Account, region, trail and end stand in the key, also of an organisation's trail and of a backfill."""
    key = (
        "p/AWSLogs/o-abc1234567/123456789012/CloudTrail-Digest/eu-west-1/2026/01/02/"
        "123456789012_CloudTrail-Digest_eu-west-1_my_trail_us-east-1_20260102T040000Z_backfill.json.gz"
    )
    assert place_of(key) == {
        "account": ACCOUNT,
        "region": "eu-west-1",
        "trail": "my_trail",
        "home": "us-east-1",
        "end": "20260102T040000Z",
        "backfill": "_backfill",
    }
    assert place_of("AWSLogs/123456789012/CloudTrail/eu-west-1/2026/01/02/x.json.gz") is None
