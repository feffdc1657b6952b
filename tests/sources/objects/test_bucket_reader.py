"""How each bucket lets itself be read is learnt once: its region, and whether versions may be asked for."""

import gzip
import logging

import boto3
import pytest

from sources import telemetry
from sources.error_deduplicator import ErrorDeduplicator
from sources.errors import Denied, SourceError
from sources.objects.bucket_reader import BucketReader
from sources.objects.decode import DecodeLimits, read
from sources.objects.object_ref import ObjectRef
from tests.fakes.ministack import ACCOUNT, REGION, Ministack
from tests.flows.check.conftest import document
from tests.sources.objects.fake_s3 import FakeS3
from tests.sources.queues.leasing import Account, aws_error
from transforms.layout import Layout

KEY = "AWSLogs/1/x.gz"
OLD, NEW = ("s3:GetObject",), ("s3:GetObject", "s3:GetObjectVersion")


@pytest.fixture(scope="module")
def strict():
    """Return an AWS that enforces policies."""
    with Ministack(auth=True) as aws:
        yield aws


class Reading:
    """A bucket that keeps versions, and a user who reads it under a policy."""

    def __init__(self, aws, unique):
        self.aws, self.user, self.bucket = aws, unique("reader"), aws.bucket(unique("versions"))
        aws.keep_versions(self.bucket)
        iam = aws.client("iam")
        iam.create_user(UserName=self.user)
        key = iam.create_access_key(UserName=self.user)["AccessKey"]
        self.asked = []
        client = boto3.client(
            "s3",
            REGION,
            endpoint_url=aws.url,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )
        client.meta.events.register("before-send.s3.GetObject", self._see)
        self.reader = BucketReader("flowlogs", Account(lambda *_: client))

    def _see(self, request, **_):
        self.asked.append("versionId=" in request.url)

    def may(self, *actions):
        self.aws.client("iam").put_user_policy(
            UserName=self.user, PolicyName="p", PolicyDocument=document(*actions)
        )

    def put(self, data, key=KEY):
        made = self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)
        return ObjectRef(self.bucket, key, REGION, made["VersionId"], made["ETag"].strip('"'), len(data))

    def read(self, ref):
        body = self.reader.open(ref, REGION)
        data = body.read(100)
        body.close()
        return data


@pytest.fixture
def reading(strict, unique, monkeypatch):
    monkeypatch.setattr(telemetry, "CAUSES", ErrorDeduplicator())
    return Reading(strict, unique)


def warnings(caplog):
    return [one for one in caplog.records if one.levelno == logging.WARNING]


def test_r1_printed_policy_reads_versions(reading, caplog):
    """With both actions the announced version is read, a newer one beside it notwithstanding."""
    reading.may(*NEW)
    first, second = reading.put(b"first"), reading.put(b"second")
    assert [reading.read(one) for one in (first, second)] == [b"first", b"second"]
    assert not warnings(caplog)


def test_r1_devos_old_policy_reads_current_versions(reading, caplog):
    """With s3:GetObject alone the current version is read as announced; one warning, asked in vain once."""
    reading.may(*OLD)
    refs = [reading.put(f"data {n}".encode(), f"{KEY}{n}") for n in range(4)]
    assert [reading.read(one) for one in refs] == [f"data {n}".encode() for n in range(4)]
    (warning,) = warnings(caplog)
    assert "allow s3:GetObjectVersion" in warning.getMessage()
    assert reading.asked == [True, False]  # what the signed way is refused is asked again by the client


def test_r1_another_version_is_never_read_for_the_announced_one(reading):
    """With s3:GetObject alone a version that is not current, or behind a delete marker, stays denied."""
    reading.may(*OLD)
    first = reading.put(b"first")
    reading.put(b"second")
    gone = reading.put(b"gone", "gone.gz")
    reading.aws.client("s3").delete_object(Bucket=reading.bucket, Key="gone.gz")
    for _ in range(2):
        for ref in (first, gone):
            with pytest.raises(Denied, match=r"s3:GetObjectVersion"):
                reading.read(ref)
        assert reading.read(reading.put(b"current", "c.gz")) == b"current"
    reading.may(*NEW)
    assert [reading.read(one) for one in (first, gone)] == [b"first", b"gone"]


def test_r1_nothing_allowed_names_both(reading):
    """With neither action the refusal names both."""
    reading.may("sqs:*")
    with pytest.raises(Denied, match=r"allow s3:GetObjectVersion .*, and s3:GetObject, and kms:Decrypt"):
        reading.read(reading.put(b"first"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", f"User: arn:aws:iam::{ACCOUNT}:user/x is not authorized to perform: kms:Decrypt on"),
        ("KMS.DisabledException", "arn:aws:kms:… is disabled"),
        ("SlowDown", "slower"),
    ],
)
def test_r1_what_is_not_about_versions_is_asked_once(code, message):
    """A key in KMS or a busy S3 is no reason to ask for something else."""
    s3 = FakeS3()
    s3.put(KEY, b"data")

    def fault(**_):
        raise aws_error("GetObject", code, 403, message)

    s3.fault = fault
    with pytest.raises(SourceError):
        BucketReader("flowlogs", s3.account).open(ObjectRef("b", KEY, version_id="v", etag="e"), REGION)
    assert len(s3.asked) == 1


def test_r1_version_without_etag_is_compared(strict, unique):
    """Where the notice tells no etag, the version that S3 tells decides."""
    reading = Reading(strict, unique)
    reading.may(*OLD)
    first, second = reading.put(b"first"), reading.put(b"second")
    bare = [ObjectRef(one.bucket, one.key, REGION, one.version_id) for one in (first, second)]
    for _ in range(2):  # by the client, then by the signed way
        assert reading.read(bare[1]) == b"second"
        with pytest.raises(Denied):
            reading.read(bare[0])


def test_r1_what_is_remembered_is_bounded(monkeypatch):
    """Of the buckets that notices name, only the last are remembered."""
    monkeypatch.setattr("sources.objects.bucket_reader._BUCKETS", 3)
    s3 = FakeS3()

    def fault(**asked):
        if "VersionId" in asked:
            raise aws_error("GetObject", "AccessDenied", 403, "Access Denied")

    s3.fault = fault
    reader = BucketReader("flowlogs", s3.account)
    for n in range(5):
        etag = s3.put(KEY, b"data", f"b{n}")
        reader.open(ObjectRef(f"b{n}", KEY, version_id="v", etag=etag), REGION).close()
    assert len(reader._versionless) == 3


@pytest.mark.parametrize("told", ["", "gzip", "zstd", "identity", "x-unknown"])
@pytest.mark.parametrize("packs", [0, 1, 2])
def test_r4_what_is_stored_counts_not_its_content_encoding(aws, unique, told, packs):
    """The header that a writer left says nothing sure: bytes come as they are stored, and tell by themselves.

    Hive's paths (`day=2026-01-02/`) are keys as any.
    """
    bucket, body = aws.bucket(unique("coded")), b"first line\nsecond line\n"
    stored = body
    for _ in range(packs):
        stored = gzip.compress(stored)
    key = "region=eu-west-1/day=2026-01-02/a b=c.gz"
    more = {"ContentEncoding": told} if told else {}
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=stored, **more)
    reader = BucketReader("test", AwsAccount(aws))
    for _ in range(2):  # by the client, then by our own wire
        found = reader.open(ObjectRef(bucket, key), REGION)
        assert b"".join(piece.payload for piece in read(found, Layout(), DecodeLimits(), key)) == body


class AwsAccount:
    """What asks an embedded AWS."""

    where = "input test"

    def __init__(self, aws):
        self._s3 = aws.client("s3")

    def client(self, *_):
        return self._s3
