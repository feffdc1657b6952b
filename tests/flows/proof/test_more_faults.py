"""Planted faults of other kinds: versions, copies, odd keys, other accounts and buckets, edges of time."""

import base64
import hashlib
import json
from collections import Counter

import pytest

from tests.fakes.fake_aws.cloudtrail import put_public_key
from tests.flows.proof.test_faults import FOLDER, NAME, NEW, OLD
from tests.flows.proof.trails import ACCOUNT, FINGERPRINT, Trail, public_key
from tests.flows.proof.worlds import HOURS, REGION, World

OTHER = "210987654321"
BAD = NAME % "bad"


@pytest.fixture
def world(aws, unique, tmp_path, keys_known):
    """Return an empty world whose bucket keeps versions, with one object that was delivered."""
    made = World(aws, unique, tmp_path)
    aws.keep_versions(made.bucket)
    made.deliver(NAME % "good")
    return made


def copied_onto_itself(world):
    """In parts: another etag, the same bytes."""
    world.deliver(BAD)
    s3, body = world.aws.client("s3"), world.body(BAD)
    where = {"Bucket": world.bucket, "Key": BAD}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    part = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=body)["ETag"]
    parts = {"Parts": [{"ETag": part, "PartNumber": 1}]}
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)


def in_parts(world):
    copied_onto_itself(world)
    (etag,) = {world.aws.client("s3").head_object(Bucket=world.bucket, Key=BAD)["ETag"].strip('"')}
    assert "-1" in etag
    world.row(BAD, etag)


def same_size(world):
    world.deliver(BAD, OLD)
    world.put(BAD, NEW)
    assert len(OLD) == len(NEW)


def same_size_stored(world):
    world.deliver(BAD.removesuffix(".gz"), OLD)
    world.put(BAD.removesuffix(".gz"), NEW)


def old_version_announced(world):
    world.deliver(BAD, OLD, version="v1")
    world.put(BAD, NEW)


def newest_version_deleted_for_good(world):
    """Remove the version that was delivered last; the one before it, delivered too, is current again."""
    world.deliver(BAD, OLD, version="v1")
    world.deliver(BAD, NEW, version="v2")
    s3 = world.aws.client("s3")
    newest = s3.head_object(Bucket=world.bucket, Key=BAD)["VersionId"]
    s3.delete_object(Bucket=world.bucket, Key=BAD, VersionId=newest)


def delete_marker(world):
    world.deliver(BAD)
    world.delete(BAD)


def delete_marker_never_delivered(world):
    world.put(BAD)
    world.delete(BAD)


def delete_marker_undone(world):
    world.deliver(BAD)
    s3 = world.aws.client("s3")
    marker = s3.delete_object(Bucket=world.bucket, Key=BAD)["VersionId"]
    s3.delete_object(Bucket=world.bucket, Key=BAD, VersionId=marker)


def row_without_etag_of_an_older_version(world):
    """Deliver a version by a notice without etag, long before what is there now was written."""
    world.put(BAD)
    world.row(BAD, "", version="v0")


def folder_of_the_console(world):
    world.put(f"{FOLDER}/", b"")


def own_quarantine(world):
    made = world.config.read_text()
    kept = f"globals:\n  quarantine: s3://{world.bucket}/quarantine/2026/01/02\n"
    world.config.write_text(made.replace("globals:\n", kept, 1))
    world.put("quarantine/2026/01/02/04/object_broken/x.json", b"{}")


def own_journal(world):
    made = world.config.read_text()
    world.put("kept/2026/01/02/x/1767340000000-p.parquet", b"no parquet of this day")
    world.config.write_text(
        made.replace("globals:\n", f"globals:\n  journal: s3://{world.bucket}/kept/2026/01/02\n", 1)
    )


def announced_in_an_envelope(world):
    """By a topic, and the key as notices spell it."""
    etag = world.put(f"{FOLDER}/a b+c.json.gz")
    about = {"bucket": {"name": world.bucket}, "object": {"key": f"{FOLDER}/a+b%2Bc.json.gz", "eTag": etag}}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": REGION, "s3": about}
    message = json.dumps({"Records": [record]})
    world.aws.send(world.queue, json.dumps({"Type": "Notification", "TopicArn": "t", "Message": message}))


def empty_message(world):
    world.put(BAD)
    world.aws.send(world.queue, base64.b64encode(b"no notice").decode())


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (copied_onto_itself, "delivered"),
        (in_parts, "delivered"),
        (same_size, "changed"),
        (same_size_stored, "changed"),
        (old_version_announced, "changed"),
        (newest_version_deleted_for_good, "delivered"),
        (delete_marker, "expired"),
        (delete_marker_never_delivered, None),
        (delete_marker_undone, "delivered"),
        (row_without_etag_of_an_older_version, "changed"),
        (folder_of_the_console, None),
        (own_quarantine, "filtered"),
        (own_journal, "filtered"),
        (announced_in_an_envelope, "in_flight"),
        (empty_message, "never_announced"),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_what_became_of_an_object_is_told(world, capsys, fault, verdict):
    """One object with a fault beside one without: its verdict, and complete or not."""
    fault(world)
    code, told = world.prove(capsys)
    found = Counter({name: count for name, count in told["verdicts"].items() if count})
    assert found == Counter(filter(None, ["delivered", verdict])), told["gaps"]
    assert code == (0 if verdict in {None, "delivered", "filtered", "expired"} else 1)


KEYS = [
    "a b",
    "a+b",
    "a%2Bb",
    "a%20b",
    "日本/é",
    "a&b=c?d#e",
    "a//b",
    "'\"",
    "a\\b",
    "~!$()*,;:@",
    "a\u200bb",
    " ",
]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("delivered", [True, False])
def test_keys_of_any_spelling(world, capsys, name, delivered):
    """As S3 has them: delivered they match their rows, and what never came is named so, and collected."""
    key = f"{FOLDER}/{name}.json.gz"
    (world.deliver if delivered else world.put)(key)
    code, told = world.prove(capsys)
    assert code == (not delivered)
    assert [one["name"] for one in told["gaps"]] == ([] if delivered else [f"s3://{world.bucket}/{key}"])
    if not delivered:
        code, told = world.prove(capsys, "--backfill")
        assert (code, told["gaps"]) == (0, []), told["gaps"]


def test_a_digest_under_another_accounts_prefix_is_moved(world, capsys):
    """Copied there by somebody who hopes that it counts: it is told, as AWS does, and proves nothing."""
    world.sign()
    name = world.trail.names[1].replace(ACCOUNT, OTHER)
    world.trail.objects[name] = world.trail.objects[world.trail.names[1]]
    world.store()
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["digest_invalid"]) == (1, 1)
    (gap,) = [one for one in told["gaps"] if one["verdict"] == "digest_invalid"]
    assert (gap["account"], "it has been moved" in gap["detail"]) == (OTHER, True)


def test_a_digest_of_another_account_is_proved_for_it(world, capsys):
    """Two accounts in one bucket: each has its chain, and a location of one says nothing of the other."""
    world.sign()
    for key in world.trail.names[:1]:
        world.delete(key.replace(ACCOUNT, OTHER))
    world.deliver(BAD.replace(ACCOUNT, OTHER))
    code, told = world.prove(capsys, location=f"s3://{world.bucket}/AWSLogs/{OTHER}/")
    assert (code, told["verdicts"]["delivered"], told["digests"]) == (0, 1, [])


def test_the_prefix_of_an_organisation(world, capsys):
    """Its digests and log files are found below o-…, signed there, and told by account."""
    world.delete(NAME % "good")
    world.trail = Trail(HOURS, world.bucket, REGION, "o-a1b2c3d4e5/")
    world.sign()
    code, told = world.prove(capsys)
    assert code == 0, told["gaps"]
    assert [(one["account"], one["valid"], one["logs"]) for one in told["digests"]] == [(ACCOUNT, 4, 8)]
    world.delete(next(iter(world.trail.logs[2])))
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["deleted"]) == (1, 1)


def test_two_regions_are_two_chains(world, capsys):
    """Each is verified by its own region's keys; a fault of one is that one's."""
    put_public_key(FINGERPRINT, public_key(), region="eu-west-1")
    world.delete(NAME % "good")
    world.sign()
    first, world.trail = world.trail, Trail(HOURS, world.bucket, "eu-west-1")
    world.sign()
    code, told = world.prove(capsys)
    assert code == 0, told["gaps"]
    assert [(one["region"], one["valid"]) for one in told["digests"]] == [("eu-west-1", 4), (REGION, 4)]
    world.delete(first.names[1])
    code, told = world.prove(capsys)
    assert [(one["verdict"], one["region"]) for one in told["gaps"]] == [("digest_deleted", REGION)]


@pytest.mark.parametrize(
    ("start", "end", "logs"),
    [
        ("2026-01-02T04:30:00+01:00", "2026-01-02T07:00:00+01:00", 6),  # 03:30 to 06:00 UTC, both ends
        ("2026-01-02T03:30:00Z", "2026-01-02T03:31:00Z", 2),
        ("2026-01-02T03:31:00Z", "2026-01-02T04:30:00Z", 0),
        ("2026-01-01", "2026-01-02", 0),
        ("2026-01-02", "2026-01-02T07:00:00Z", 8),
    ],
)
def test_edges_of_time(world, capsys, start, end, logs):
    """From inclusive, to exclusive, in whatever zone they are written; of the rest nothing is said."""
    world.sign()
    world.delete(NAME % "good")
    world.journal.close()
    code, told = world.prove(capsys, span=(start, end))
    assert not logs or code == 0, told
    assert (told["verdicts"]["delivered"] if logs else 0) == logs


def test_a_chain_that_comes_from_another_bucket(world, capsys, unique):
    """The trail wrote elsewhere before: that bucket's log files are verified, and are not this one's gaps."""
    old = world.aws.bucket(unique("old"))
    world.delete(NAME % "good")
    trail = world.trail
    world.sign()
    s3 = world.aws.client("s3")
    for key, body in trail.logs[0].items():
        s3.copy_object(Bucket=old, Key=key, CopySource=f"{world.bucket}/{key}")
        world.delete(key)
        assert body
    trail.again(
        0,
        logFiles=[
            {
                "s3Bucket": old,
                "s3Object": key,
                "hashValue": hashlib.sha256(body).hexdigest(),
                "hashAlgorithm": "SHA-256",
            }
            for key, body in trail.logs[0].items()
        ],
    )
    for hour in (1, 2, 3):
        trail.again(hour)
    world.store()
    code, told = world.prove(capsys)
    assert {name for name, count in told["verdicts"].items() if count} == {"delivered", "expired"}, told[
        "gaps"
    ]
    assert code == 0
    s3.delete_object(Bucket=old, Key=next(iter(trail.logs[0])))
    code, told = world.prove(capsys)
    assert [one["verdict"] for one in told["gaps"]] == ["deleted"]


@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("below", ["deep/er/", "region=eu/part-0/"])
def test_folders_below_a_day_are_of_that_day(world, capsys, below, delivered):
    """Whenever it was written: it belongs to one day, and to no other."""
    world.delete(NAME % "good")
    (world.deliver if delivered else world.put)(f"{FOLDER}/{below}x.json.gz")
    code, told = world.prove(capsys)
    assert (code, told["objects"]) == (not delivered, 2)
    assert told["verdicts"]["delivered" if delivered else "never_announced"] == 1
    code, told = world.prove(capsys, span=("2026-01-03", "2026-01-04"))
    assert not isinstance(told, dict) or told["objects"] == 0, told


def test_what_has_no_date_is_of_the_day_it_was_settled(world, capsys):
    """A delivered object that is gone: of that day it is told, of no other."""
    world.deliver("odd.json.gz", time=1_767_340_000_000)  # 2026-01-02T07:46:40Z
    world.delete("odd.json.gz")
    code, told = world.prove(capsys, span=("2026-01-02", "2026-01-03"))
    assert (code, told["verdicts"]["expired"]) == (0, 1)
    code, told = world.prove(capsys)
    assert (code, told["objects"]) == (0, 1), told
