"""The short way to an object: the same bytes as the client's, and its errors, over any key."""

import os

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sources.aws.signed import hosts
from sources.aws.signed.get import SignedGet
from sources.aws.signed.wire import Wire, WireError
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import Ministack

KEYS = [
    "k",
    "AWSLogs/123/vpcflowlogs/eu-west-1/2024/01/01/x_20240101T0000Z_a1b2.log.gz",
    "a b+c%3D&d=e;f,g:h@i$j!k*l'm(n)o",
    "día/日本/🦀",
    "a//b",
    "/a",
    "a/../b",
    "a/./b",
    "..",
    "a/",
    "~x_y-z.1",
    'q"<>{}|\\^`',
    "?versions",
    "#x",
]


class Counting:
    """A client that counts what it is asked itself."""

    def __init__(self, client):
        self.inner, self.asked = client, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get_object(self, **asked):
        self.asked += 1
        return self.inner.get_object(**asked)


@pytest.fixture(scope="module")
def guarded():
    """Return an AWS that checks each signature."""
    with Ministack(auth=True) as started:
        yield started


@pytest.fixture
def client(guarded, unique):
    made = boto3.client(
        "s3",
        endpoint_url=guarded.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 2, "mode": "standard"}, read_timeout=2),
    )
    made.bucket = unique("bucket")
    made.create_bucket(Bucket=made.bucket)
    yield Counting(made)
    made.close()


def read(getter, bucket, key, **more):
    reply = getter.get_object(Bucket=bucket, Key=key, **more)
    return reply["Body"].read(), reply["ContentLength"], reply["ETag"]


@pytest.mark.parametrize("key", KEYS)
def test_same_as_the_client_for_any_key(client, key):
    """Whatever a key holds, the bytes, their number and their version are the client's."""
    data = os.urandom(3000)
    client.put_object(Bucket=client.bucket, Key="first", Body=b"1")
    client.put_object(Bucket=client.bucket, Key=key, Body=data)
    getter = SignedGet(client)
    read(getter, client.bucket, "first")
    assert read(getter, client.bucket, key) == read(client.inner, client.bucket, key)
    assert read(getter, client.bucket, key)[0] == data


def test_client_is_asked_once_a_bucket(client):
    """The first object teaches the way; the others cost no call of the client."""
    getter = SignedGet(client)
    for number in range(5):
        client.put_object(Bucket=client.bucket, Key=f"k{number}", Body=b"x" * number)
        assert read(getter, client.bucket, f"k{number}")[0] == b"x" * number
    assert client.asked == 1


def test_range_and_version_are_asked_for(client):
    """A resumed body and a versioned object come by the short way too."""
    client.put_bucket_versioning(Bucket=client.bucket, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=client.bucket, Key="k", Body=b"0123456789")
    client.put_object(Bucket=client.bucket, Key="k", Body=b"abcdefghij")
    getter = SignedGet(client)
    read(getter, client.bucket, "k")
    assert read(getter, client.bucket, "k", VersionId=old["VersionId"])[0] == b"0123456789"
    now = client.head_object(Bucket=client.bucket, Key="k")["ETag"]
    assert read(getter, client.bucket, "k", Range="bytes=4-", IfMatch=now)[:2] == (b"efghij", 6)
    assert client.asked == 1


def test_errors_are_the_clients(client):
    """A missing object, a changed version: the client is asked and raises what it always raises."""
    client.put_object(Bucket=client.bucket, Key="k", Body=b"x")
    getter = SignedGet(client)
    read(getter, client.bucket, "k")
    for more, code in (
        ({"Key": "gone"}, "NoSuchKey"),
        ({"Key": "k", "IfMatch": '"other"'}, "PreconditionFailed"),
    ):
        with pytest.raises(ClientError) as caught:
            getter.get_object(Bucket=client.bucket, **more)
        assert caught.value.response["Error"]["Code"] == code
        read(getter, client.bucket, "k")
    assert read(getter, client.bucket, "k")[0] == b"x"


@pytest.mark.parametrize("fault", ["error", "reset", "lost", "junk"])
def test_h19_faults_are_left_to_the_client(guarded, client, fault):
    """Throttling, resets, lost replies and pages of a proxy: the client asks again, as often as it does."""
    client.put_object(Bucket=client.bucket, Key="k", Body=b"x")
    with FaultProxy(guarded.url) as proxy:
        through = boto3.client(
            "s3",
            endpoint_url=proxy.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        getter = SignedGet(through)
        read(getter, client.bucket, "k")
        proxy.add(fault, op="s3.GetObject", times=1)
        assert read(getter, client.bucket, "k")[0] == b"x"
        assert proxy.rules[0].fired == 1
        through.close()


def test_other_botocore_leaves_all_to_the_client():
    """Where the client has not the parts that the short way needs, it is asked every time."""

    class Plain:
        def get_object(self, **asked):
            return asked

    assert SignedGet(Plain()).get_object(Bucket="b", Key="k") == {"Bucket": "b", "Key": "k"}


def test_boto3_makes_every_call_where_that_is_asked_for(client, monkeypatch):
    """COLLECTOR_BOTO3=1 is the way back: no object is asked for past the client."""
    monkeypatch.setenv(hosts.VARIABLE, "1")
    getter = SignedGet(client)
    for number in range(3):
        client.put_object(Bucket=client.bucket, Key=f"k{number}", Body=b"x" * number)
        assert read(getter, client.bucket, f"k{number}")[0] == b"x" * number
    assert client.asked == 3


def test_a_way_that_breaks_again_and_again_rests(client, monkeypatch):
    """A proxy that leads nowhere costs a few tries, and then none for a while."""
    client.put_object(Bucket=client.bucket, Key="k", Body=b"x")
    getter, tried = SignedGet(client), []
    read(getter, client.bucket, "k")

    def broken(*_):
        tried.append(1)
        raise WireError("nobody there")

    monkeypatch.setattr(Wire, "open", broken)
    for _ in range(9):
        assert read(getter, client.bucket, "k")[0] == b"x"
    assert (len(tried), client.asked) == (5, 10)
