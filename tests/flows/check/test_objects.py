"""Buckets and objects: what can be proven, and what is said when it cannot."""

import json

import pytest

from tests.fakes.ministack import ACCOUNT, Ministack
from tests.flows.check.conftest import ALLOWED, WORK, config, flow_logs

KEY = "AWSLogs/1/x.gz"


@pytest.fixture
def named(bob, unique):
    """Return the name of a queue and of the bucket that its policy names, with one object."""
    aws, bucket = bob.aws, unique("bucket")
    queue = aws.queue(unique("flow"), redrive=(aws.queue(unique("dead")), 5))
    announced(aws, queue, bucket)
    aws.put(aws.bucket(bucket), KEY, b"bytes")
    return queue.name, bucket


def announced(aws, queue, bucket):
    """Let a bucket send to a queue, as AWS's documentation words the policy."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:*:*:{bucket}"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client = aws.client("sqs", queue.region)
    client.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": policy})


@pytest.fixture
def ask(look, bob, named):
    """Return what checks the queue with these objects named."""
    return lambda *objects: look(config(flow_logs(named[0]), bob.keys), objects=objects)


def planted(proxy, text, code="AccessDenied"):
    """Let GetObject be refused in AWS's own words."""
    proxy.add("error", op="s3.GetObject", code=code, status=403, message=text)


def test_a_bucket_that_may_be_read(ask, named):
    """The bucket that a queue's policy names is proven to be readable by a key that is not there."""
    found = ask()
    assert f"s3:GetObject is allowed: bucket {named[1]} (input aws)" in found.line("bucket")
    assert not found.of("warn")
    assert not found.of("fail")


def test_r1_versions_that_may_be_read(ask, named):
    """What a notice with a version needs is proven, too."""
    assert f"s3:GetObjectVersion is allowed: bucket {named[1]}" in ask().line("bucket_versions")


def test_r1_versions_are_not_allowed(ask, bob, named):
    """Under s3:GetObject alone the check warns, names the action, and says what happens without it."""
    bob.may(*ALLOWED, *(one for one in WORK if one != "s3:GetObjectVersion"))
    found = ask()
    assert not found.of("fail")
    line = found.only("warn", "bucket_versions")
    assert f"s3:GetObjectVersion is not allowed for {bob.arn} on arn:aws:s3:::{named[1]}/*" in line
    assert "only while it is the current one" in line


def test_only_list_bucket_is_missing(ask, proxy, named):
    """Not allowed to *list* is what S3 tells those who may read an object that is not there: ok."""
    planted(
        proxy,
        f"User: arn:aws:iam::1:user/x is not authorized to perform: s3:ListBucket on resource: "
        f'"arn:aws:s3:::{named[1]}" because no identity-based policy allows the s3:ListBucket action',
    )
    assert ask().line("bucket").startswith("ok")


def test_get_object_is_not_allowed(ask, bob, named):
    """A missing s3:GetObject is one failure with the bucket, and says how a prefix is proven."""
    bob.may(*ALLOWED, *(one for one in WORK if one != "s3:GetObject"))
    line = ask().only("fail", "permission")
    assert f"s3:GetObject is not allowed for {bob.arn} on arn:aws:s3:::{named[1]}/*" in line
    assert "prove that by --object" in line


def test_a_refusal_without_a_reason_is_ambiguous(ask, proxy):
    """A bare "Access Denied", as from another account's bucket, proves nothing and is said to."""
    planted(proxy, "Access Denied")
    found = ask()
    assert not found.of("fail")
    line = found.line("bucket")
    assert line.startswith("warn")
    assert "whether s3:GetObject is allowed is not told" in line


def test_an_object_that_may_be_read(ask, named):
    """A named object of which one byte can be read proves all, its key in KMS included."""
    assert "readable, KMS included" in ask(f"s3://{named[1]}/{KEY}").line("object")


def test_kms_denied(ask, bob, proxy, named):
    """An object whose key may not be used is one failure that names kms:Decrypt, principal and key."""
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"
    text = (
        f"User: {bob.arn} is not authorized to perform: kms:Decrypt on resource: {key} because no "
        "identity-based policy allows the kms:Decrypt action"
    )
    proxy.add("error", op="s3.GetObject", path=KEY, code="AccessDenied", status=403, message=text)
    line = ask(f"s3://{named[1]}/{KEY}").only("fail", "kms")
    assert f"kms:Decrypt is not allowed for {bob.arn} on {key}" in line


def test_a_key_that_is_switched_off(ask, proxy, named):
    """A KMS key that is disabled is a failure in KMS's own words."""
    proxy.add(
        "error", op="s3.GetObject", path=KEY, code="KMS.DisabledException", status=400, message="k is off"
    )
    assert "KMS.DisabledException (k is off)" in ask(f"s3://{named[1]}/{KEY}").only("fail", "kms")


def test_a_named_object_without_a_reason(ask, proxy, named):
    """A bare refusal of an object that exists fails, and names all that may be behind it."""
    proxy.add("error", op="s3.GetObject", path=KEY, code="AccessDenied", status=403, message="Access Denied")
    line = ask(f"s3://{named[1]}/{KEY}").only("fail", "permission")
    assert f"on arn:aws:s3:::{named[1]}/{KEY}" in line
    assert "see the bucket's policy and its KMS key, too" in line


@pytest.mark.parametrize(
    ("name", "told"),
    [("bucket/key", "no object's name"), ("s3://{bucket}/none", "there is no such object")],
)
def test_an_object_that_is_none(ask, named, name, told):
    """A name that is no object's fails."""
    assert told in ask(name.format(bucket=named[1])).only("fail", "object")


def test_a_bucket_that_is_gone(ask, bob, named):
    """A bucket that the policy names and that is not there fails."""
    client = bob.aws.client("s3")
    client.delete_object(Bucket=named[1], Key=KEY)
    client.delete_bucket(Bucket=named[1])
    assert "NoSuchBucket" in ask().only("fail", "bucket_missing")


def test_no_bucket_is_named(look, bob, unique):
    """Where no policy names a bucket, the check says that nothing is proven, and how it could be."""
    queue = bob.aws.queue(unique("flow"), redrive=(bob.aws.queue(unique("dead")), 5))
    found = look(config(flow_logs(queue.name), bob.keys))
    assert "--object s3://bucket/key" in found.line("bucket")
    assert "name them in services.non-cloudwatch-logs: buckets:" in found.line("buckets_open")


def test_r5_quarantine_in_an_announced_bucket(look, bob, named):
    """A quarantine where the collector's own objects are announced is told, and where to put it."""
    made = config(flow_logs(named[0]), bob.keys) | {"globals": {"quarantine": f"s3://{named[1]}/bad"}}
    line = look(made).line("quarantine_announced")
    assert f"quarantine (s3://{named[1]}/bad) is in a bucket whose new objects are collected" in line
    apart = config(flow_logs(named[0]), bob.keys) | {"globals": {"quarantine": "s3://elsewhere/bad"}}
    assert not [one for one in look(apart).found if one.code == "quarantine_announced"]


def test_a1_buckets_that_the_service_names(look, bob, unique):
    """The service's own buckets are proven to be readable, and nothing is said to be open."""
    queue = bob.aws.queue(unique("flow"), redrive=(bob.aws.queue(unique("dead")), 5))
    bucket = bob.aws.bucket(unique("own"))
    ((key, options),) = flow_logs(queue.name).items()
    found = look(config({key: {**options, "buckets": [f"{bucket}/AWSLogs/", "org-*"]}}, bob.keys))
    assert f"s3:GetObject is allowed: bucket {bucket} (input aws)" in found.line("bucket")
    assert not found.of("warn")


def test_a_bucket_in_another_region(look, unique, monkeypatch):
    """A bucket in another region than its queue is told, with both regions; it is no failure."""
    with Ministack() as aws:  # the strict one does not tell a bucket's region to strangers, as AWS does
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        region, bucket = "eu-west-1", unique("bucket")
        queue = aws.queue("flow", region=region, redrive=(aws.queue("dead", region=region), 5))
        announced(aws, queue, bucket)
        aws.put(aws.bucket(bucket, "eu-central-1"), KEY, b"bytes", "eu-central-1")
        keys = {"access_key": "test", "access_secret": "test"}
        found = look(config(flow_logs(queue.name, region), keys))
    assert not found.of("fail")
    line = found.line("bucket_region")
    assert "the bucket is in eu-central-1, the queue that announces its objects in eu-west-1" in line
