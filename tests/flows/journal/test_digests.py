"""CloudTrail's digests: what is whole is valid, and every way to tamper with the chain is told."""

import base64
import binascii
import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flows.journal.digests import DigestStored, place_of, walk

BUCKET, ACCOUNT, REGION = "trail", "123456789012", "eu-west-1"
FIRST = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)


class Trail:
    """A CloudTrail that signs a digest for each hour."""

    def __init__(self, hours: int = 5) -> None:
        self.key, self.stranger = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        self.objects: dict[str, DigestStored] = {}
        self.names: list[str] = []
        signature, before = None, None
        for hour in range(hours):
            before, signature = self.add(hour, before, signature)

    @property
    def keys(self):
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        return {"f1": base64.b64encode(der).decode()}

    def add(self, hour, before, signature, key=None, **more):
        """Sign one hour's digest; return its key and signature."""
        start, end = FIRST + timedelta(hours=hour), FIRST + timedelta(hours=hour + 1)
        stamp = end.strftime("%Y%m%dT%H%M%SZ")
        name = (
            f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{end:%Y/%m/%d}/"
            f"{ACCOUNT}_CloudTrail-Digest_{REGION}_mine_{REGION}_{stamp}.json.gz"
        )
        content = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "digestEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "digestS3Bucket": BUCKET,
            "digestS3Object": name,
            "digestPublicKeyFingerprint": "f1",
            "digestSignatureAlgorithm": "SHA256withRSA",
            "previousDigestS3Bucket": BUCKET if before else None,
            "previousDigestS3Object": before,
            "previousDigestSignature": signature,
            "logFiles": [{"s3Bucket": BUCKET, "s3Object": f"log-{hour}", "hashValue": "00", "x": 1}],
            **more,
        }
        body = json.dumps(content).encode()
        text = "\n".join(
            [
                content["digestEndTime"],
                f"{BUCKET}/{name}",
                hashlib.sha256(body).hexdigest(),
                signature or "null",
            ]
        )
        signed = (key or self.key).sign(text.encode(), PKCS1v15(), SHA256())
        hexed = binascii.hexlify(signed).decode()
        self.objects[name] = DigestStored(
            gzip.compress(body), {"signature": hexed, "signature-algorithm": "SHA256withRSA"}
        )
        self.names.append(name)
        return name, hexed

    def verdicts(self, start=FIRST):
        """Return hour → problem of each digest that was walked to, and the hours before which is a gap."""
        listed = sorted(name for name in self.objects)
        found = list(walk(listed, BUCKET, start, lambda _bucket, key: self.objects.get(key), self.keys))
        hours = {name: hour for hour, name in enumerate(self.names)}
        return (
            {hours[one.key]: one.problem for one in found},
            [hours[one.key] for one in found if one.gap],
        )


@pytest.fixture(scope="module")
def signers():
    """Return a trail of five hours, made once: keys take long."""
    return Trail()


@pytest.fixture
def trail(signers):
    """Return a fresh copy of the trail."""
    made = Trail.__new__(Trail)
    made.__dict__ = {**signers.__dict__, "objects": dict(signers.objects), "names": list(signers.names)}
    return made


def test_a_whole_chain_is_valid(trail):
    """Every hour is there, signed, and names the one before; the first names none."""
    assert trail.verdicts() == (dict.fromkeys(range(5), ""), [])


def test_the_walk_ends_at_the_start(trail):
    """What lies before the range is not read."""
    assert list(trail.verdicts(FIRST + timedelta(hours=3, minutes=30))[0]) == [4, 3]


def _deleted(trail):
    del trail.objects[trail.names[2]]


def _altered(trail):
    stored = trail.objects[trail.names[2]]
    content = gzip.decompress(stored.body).replace(b'"00"', b'"11"')
    trail.objects[trail.names[2]] = DigestStored(gzip.compress(content), stored.metadata)


def _signed_by_another(trail):
    previous = json.loads(gzip.decompress(trail.objects[trail.names[2]].body))["previousDigestSignature"]
    trail.add(2, trail.names[1], previous, trail.stranger)
    trail.names.pop()


def _moved(trail):
    stored = trail.objects[trail.names[1]]
    trail.objects[trail.names[2]] = stored


def _unsigned(trail):
    trail.objects[trail.names[2]] = DigestStored(trail.objects[trail.names[2]].body, {})


def _no_gzip(trail):
    stored = trail.objects[trail.names[2]]
    trail.objects[trail.names[2]] = DigestStored(b"junk", stored.metadata)


def _unknown_key(trail):
    trail.add(2, None, None, digestPublicKeyFingerprint="f9")
    trail.names.pop()


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
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_each_harm_is_told_and_the_walk_goes_on(trail, harm, problem):
    """The harmed hour is named with what is wrong; those before it are still looked at."""
    harm(trail)
    found, gaps = trail.verdicts()
    assert found.pop(2).startswith(problem)
    assert found == dict.fromkeys((4, 3, 1, 0), "")
    assert gaps == []


def test_a_chain_that_was_cut_is_a_gap(trail):
    """Logging was switched off and on again: the digest after it names none before."""
    trail.add(5, None, None)
    found, gaps = trail.verdicts()
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
        "region": REGION,
        "trail": "my_trail",
        "home": "us-east-1",
        "end": "20260102T040000Z",
        "backfill": "_backfill",
    }
    assert place_of("AWSLogs/123456789012/CloudTrail/eu-west-1/2026/01/02/x.json.gz") is None
