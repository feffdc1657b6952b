"""Planted faults: each is told exactly, and of signatures the same is said as by AWS's own client."""

import gzip
import importlib.util
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from shutil import rmtree

import pytest

from flows.journal.log import JournalLog
from flows.proof.digests import DigestStored
from sources.errors import SourceError
from tests.flows.proof.trails import ACCOUNT, FIRST, log_body, log_name
from tests.flows.proof.worlds import HOURS, REGION, STRETCH, World

FOLDER = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/01/02"
NAME = f"{FOLDER}/{ACCOUNT}_CloudTrail_{REGION}_20260102T0430Z_%s.json.gz"
OLD, NEW = b'{"Records": [{"eventName": "Old"}]}', b'{"Records": [{"eventName": "New"}]}'


@pytest.fixture
def world(aws, unique, tmp_path, keys_known):
    """Return an empty world, with one object that was delivered and its keys known to CloudTrail."""
    made = World(aws, unique, tmp_path)
    made.deliver(NAME % "good")
    return made


def never_announced(world, key):
    world.put(key)


def in_queue(world, key):
    world.announce(key, world.put(key))


def quarantined(world, key):
    world.row(key, world.put(key), outcome="quarantined", events=0, records=0, quarantined=1)


def partly_quarantined(world, key):
    world.deliver(key, quarantined=1, events=2)


def quarantined_then_delivered(world, key):
    etag = world.put(key)
    world.row(key, etag, outcome="quarantined", events=0, quarantined=1)
    world.row(key, etag)


def quarantined_then_repeated(world, key):
    etag = world.put(key)
    world.row(key, etag, outcome="quarantined", events=0, quarantined=1)
    world.row(key, etag, events=0, records=0, repeated=True)


def filtered(world, key):
    world.deliver(key, events=0, filtered=3)


def replaced(world, key):
    world.deliver(key, OLD)
    world.put(key, NEW)


def replaced_and_announced(world, key):
    world.deliver(key, OLD)
    world.announce(key, world.put(key, NEW))


def replaced_with_the_old_one_in_the_queue(world, key):
    world.announce(key, world.put(key, OLD))
    world.put(key, NEW)


def replaced_and_both_delivered(world, key):
    world.deliver(key, OLD)
    world.deliver(key, NEW)


def deleted_later(world, key):
    world.deliver(key)
    world.delete(key)


def deleted_before_it_was_read(world, key):
    world.row(key, "e", outcome="missing", events=0, records=0)


def missing_then_there(world, key):
    world.row(key, world.put(key), outcome="missing", events=0, records=0)


def late(world, key):
    world.deliver(key, time=1_786_000_000_000)


def only_repeated(world, key):
    world.row(key, world.put(key), events=0, records=0, repeated=True)


def of_another_service(world, key):
    world.deliver(key, service="flowlogs")


def by_version_only(world, key):
    world.put(key)
    world.row(key, "", version="v1", time=int(datetime.now(UTC).timestamp() * 1000) + 1000)


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (never_announced, "never_announced"),
        (in_queue, "in_flight"),
        (quarantined, "quarantined"),
        (partly_quarantined, "quarantined"),
        (quarantined_then_delivered, "delivered"),
        (quarantined_then_repeated, "quarantined"),
        (filtered, "filtered"),
        (replaced, "changed"),
        (replaced_and_announced, "in_flight"),
        (replaced_with_the_old_one_in_the_queue, "never_announced"),
        (replaced_and_both_delivered, "delivered"),
        (deleted_later, "expired"),
        (deleted_before_it_was_read, "missing"),
        (missing_then_there, "missing"),
        (late, "delivered"),
        (only_repeated, "delivered"),
        (of_another_service, "never_announced"),
        (by_version_only, "delivered"),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_what_became_of_an_object_is_told(world, capsys, fault, verdict):
    """One object with a fault beside one without: its verdict, and complete or not."""
    fault(world, NAME % "bad")
    code, told = world.prove(capsys)
    found = Counter({name: count for name, count in told["verdicts"].items() if count})
    assert found == Counter(["delivered", verdict])
    harmless = verdict in {"delivered", "filtered", "expired"}
    assert code == (0 if harmless else 1)
    assert [one["name"] for one in told["gaps"]] == (
        [] if harmless else [f"s3://{world.bucket}/{NAME % 'bad'}"]
    )
    assert all(one["cure"] for one in told["gaps"])


def test_what_was_just_written_may_still_be_announced(world, capsys):
    """Within the grace an object without a message is on its way."""
    world.put(NAME % "bad")
    code, told = world.prove(capsys, grace="900")
    assert (code, told["verdicts"]["in_flight"]) == (1, 1)


def test_a_key_that_is_filtered_needs_no_message(world, capsys):
    """What the key filter leaves out is neither delivered nor missing."""
    world.put("left/2026/01/02/04/x.json.gz")
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["filtered"]) == (0, 1)


def test_a_proof_hands_messages_back(world, capsys):
    """What the queue held before it holds afterwards, visible."""
    in_queue(world, NAME % "bad")
    world.prove(capsys)
    assert world.aws.depth(world.queue) == (1, 0)


def nothing(_world):
    pass


def log_altered(world):
    _tamper(world, lambda stored: gzip.compress(gzip.decompress(stored).replace(b"Call2x1", b"Call2x7")))


def log_altered_by_a_byte(world):
    _tamper(world, lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]))


def log_longer(world):
    _tamper(world, lambda stored: stored + b"x")


def log_shorter(world):
    _tamper(world, lambda stored: stored[:-30])


def log_no_gzip(world):
    _tamper(world, gzip.decompress)


def log_deleted(world):
    world.delete(log_name(2, 1, REGION))


def _tamper(world, change):
    key = log_name(2, 1, REGION)
    stored = change(world.body(key))
    world.aws.client("s3").put_object(Bucket=world.bucket, Key=key, Body=stored)


def digest_deleted(world):
    world.delete(world.trail.names[1])


def _digest(world, change, **metadata):
    name = world.trail.names[1]
    stored = world.trail.objects[name]
    world.trail.objects[name] = DigestStored(change(stored.body), metadata or stored.metadata)
    world.store()


def digest_altered(world):
    _digest(world, lambda body: gzip.compress(gzip.decompress(body).replace(b"0", b"1", 1)))


def digest_lists_another_hash(world):
    _digest(world, lambda body: gzip.compress(gzip.decompress(body).replace(b'"SHA-256"', b'"SHA-1"')))


def digest_no_gzip(world):
    _digest(world, gzip.decompress)


def digest_cut_short(world):
    _digest(world, lambda body: body[:-4])


def digest_no_digest(world):
    _digest(world, lambda _body: gzip.compress(b'{"a": 1}'))


def digest_unsigned(world):
    _digest(world, lambda body: body, other="x")


def digest_moved(world):
    name, other = world.trail.names[1], world.trail.names[2]
    world.trail.objects[name] = world.trail.objects[other]
    world.store()


def digest_of_another_key(world):
    world.trail.again(1, key="stranger")
    world.store()


def digest_of_an_unknown_key(world):
    world.trail.again(1, digestPublicKeyFingerprint="f9")
    world.store()


def chain_cut(world):
    world.trail.again(2, before=None)
    world.trail.again(3)
    world.store()


def chain_forged(world):
    world.trail.again(2, previousDigestSignature="00")
    world.store()


def backfill_digest(world):
    made = {"backfill-generation-timestamp": "2026-02-01T00:00:00Z"}
    world.trail.add(1, suffix="_backfill", metadata=made, before=None)
    world.store()


def backfill_digest_without_its_time(world):
    world.trail.add(1, suffix="_backfill", before=None)
    world.store()


SIGNED = [
    (nothing, {}),
    (log_altered, {"changed": 1, "modified": 1}),
    (log_altered_by_a_byte, {"changed": 1, "modified": 1}),
    (log_longer, {"changed": 1, "modified": 1}),
    (log_shorter, {"changed": 1, "modified": 1}),
    (log_no_gzip, {"changed": 1, "modified": 1}),
    (log_deleted, {"expired": 1, "deleted": 1}),
    (digest_deleted, {"digest_deleted": 1}),
    (digest_altered, {"digest_invalid": 1}),
    (digest_lists_another_hash, {"digest_invalid": 1}),
    (digest_no_gzip, {"digest_invalid": 1}),
    (digest_cut_short, {"digest_invalid": 1}),
    (digest_no_digest, {"digest_invalid": 1}),
    (digest_unsigned, {"digest_invalid": 1}),
    (digest_moved, {"digest_invalid": 1}),
    (digest_of_another_key, {"digest_invalid": 1}),
    (digest_of_an_unknown_key, {"digest_invalid": 1}),
    (chain_cut, {"chain_gap": 1}),
    (chain_forged, {"digest_invalid": 1}),
    (backfill_digest, {}),
    (backfill_digest_without_its_time, {"digest_invalid": 1}),
]


@pytest.mark.parametrize(("fault", "wrong"), SIGNED, ids=lambda one: one.__name__ if callable(one) else "")
def test_what_is_signed_is_told_as_aws_tells_it(world, capsys, fault, wrong):
    """Each harm to log files, digests or their chain has its verdict, which is that of AWS's own client."""
    world.sign()
    world.delete(NAME % "good")  # no digest names it
    fault(world)
    code, told = world.prove(capsys)
    found = {name: count for name, count in told["verdicts"].items() if count and name != "delivered"}
    found["expired"] -= 1
    assert {name: count for name, count in found.items() if count} == wrong
    assert code == bool(set(wrong) - {"expired"})
    if importlib.util.find_spec("awscli") is None:
        pytest.skip("awscli is not installed: make check installs it")
    said = world.validated()
    ours = {(_kind(one), one["name"]) for one in told["gaps"] if _kind(one)}
    assert ours == set(said.invalid), said.text
    assert sum(one["valid"] for one in told["digests"]) == sum(kind == "Digest" for kind, _ in said.valid)
    assert told["verdicts"]["chain_gap"] == said.gaps


def _kind(gap):
    kinds = {"digest_invalid": "Digest", "digest_deleted": "Digest", "modified": "Log", "deleted": "Log"}
    return kinds.get(gap["verdict"], "")


def test_the_last_digests_are_missed(world, capsys):
    """What no later digest names is missed by the time that nothing signed covers."""
    world.sign()
    for name in world.trail.names[2:]:
        world.delete(name)
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["chain_ends"]) == (1, 1)
    assert "2026-01-02T05:00:00Z to 2026-01-02T07:00:00Z" in told["gaps"][0]["detail"]


def test_an_object_that_no_digest_names_is_told(world, capsys):
    """A log file in the middle of a chain that no digest names is told; another trail may write it."""
    world.sign()
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["unsigned"]) == (0, 1)
    assert told["gaps"][0]["name"].endswith(NAME % "good")


def test_a_signed_log_file_that_was_not_delivered_is_told(world, capsys):
    """What CloudTrail has signed and the bucket has, and the journal does not, was never announced."""
    world.sign()
    extra = log_name(1, 7, REGION)
    world.trail.logs[1][extra] = log_body(1, 7)
    world.trail.again(1)
    for hour in (2, 3):
        world.trail.again(hour)
    world.put(extra, log_body(1, 7))
    world.store()
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["never_announced"]) == (1, 1)
    assert sum(one["logs"] for one in told["digests"]) == 2 * HOURS + 1


def test_a_signed_log_file_that_was_deleted_unread_is_told(world, capsys):
    """Neither the bucket nor the journal has it: only the digest tells that it was there."""
    world.sign()
    extra = log_name(1, 7, REGION)
    world.trail.logs[1][extra] = log_body(1, 7)
    world.trail.again(1)
    for hour in (2, 3):
        world.trail.again(hour)
    world.store()
    code, told = world.prove(capsys)
    assert (code, told["verdicts"]["missing"], told["verdicts"]["deleted"]) == (1, 1, 1)


def test_without_digests_it_says_what_is_not_proved(world, capsys):
    """Validation is off: delivery is proved all the same, and the page says that signatures are not."""
    code, told = world.prove(capsys)
    assert code == 0
    assert "no digests" in told["notes"][0]


def test_it_says_when_it_could_not_look(world, capsys, monkeypatch):
    """No listing, no proof: exit code 2 and the reason."""
    world.bucket = "not-there"
    code, told = world.prove(capsys)
    assert code == 2
    assert told.startswith("could not look: ")


def test_a_queue_that_is_named_by_its_url_alone(world, capsys, monkeypatch):
    """It tells the region in which bucket, digests and what is missing are asked for."""
    world.by_url(monkeypatch)
    world.sign()
    world.put(NAME % "bad")
    code, told = world.prove(capsys, "--backfill")
    assert (code, told["backfilled"], told["digests"][0]["valid"]) == (0, 1, HOURS), told


def test_a_sample_is_read_again(world, capsys):
    """Of what was delivered some is read again: bytes and records are those of the journal, or it is told."""
    world.deliver(NAME % "more", records=1, events=1)
    world.row(NAME % "other", world.put(NAME % "other"), records=2)
    code, told = world.prove(capsys, "--sample", "9")
    assert (code, told["sampled"], told["same"]) == (1, 3, 1)
    names = {one["name"].rpartition("_")[2]: one["detail"] for one in told["gaps"]}
    assert names["other.json.gz"] == "2 records were delivered, it has 1"


def test_what_is_missing_is_collected_and_proved_again(world, capsys):
    """With --backfill what never came comes on the live path, has its rows, and the proof is complete."""
    world.put(NAME % "bad")
    replaced(world, NAME % "new")
    code, told = world.prove(capsys, "--backfill")
    assert (code, told["backfilled"], told["verdicts"]["delivered"]) == (0, 2, 3)
    arrived = "".join(path.read_text() for path in (world.folder / "out").iterdir())
    assert sorted(re.findall('"eventName":"([^"]*)"', arrived.replace(": ", ":"))) == ["A", "New"]
    assert world.prove(capsys)[0] == 0


def test_rows_that_the_journal_did_not_take_are_written_by_the_next_backfill(world, capsys, monkeypatch):
    """Delivered, but without its row: the state is kept, and the same command goes on from it, once."""
    for number in range(3):
        world.put(NAME % f"bad{number}")
    write, works = JournalLog.write, []

    def written(log, rows):
        if not works and not any(row.object.endswith("bad0.json.gz") for row in rows):
            raise SourceError("no room", "journal", "make some")
        write(log, rows)

    with monkeypatch.context() as patch:
        patch.setattr(JournalLog, "write", written)
        patch.setattr("sources.journal_pending._LAST_SECONDS", 1.0)
        assert world.prove(capsys, "--backfill")[0] == 1
    works.append(True)
    code, told = world.prove(capsys, "--backfill")
    assert (code, told["verdicts"]["delivered"]) == (0, 4)
    arrived = "".join(path.read_text() for path in (world.folder / "out").iterdir())
    assert arrived.count('"eventName"') == 3
    assert not [*(world.folder / "state" / "backfill").iterdir()]


def test_an_object_without_a_date_belongs_to_the_day_it_was_written(world, capsys):
    """Its key says no date: of January it is not, of today it is."""
    world.put("odd.json.gz")
    assert world.prove(capsys)[0] == 0
    today = datetime.now(UTC)
    span = (today - timedelta(days=1)).isoformat(), (today + timedelta(days=1)).isoformat()
    code, told = world.prove(capsys, span=span)
    assert (code, told["verdicts"]["never_announced"], told["objects"]) == (1, 1, 1)


def test_digests_beside_a_narrow_location_are_found(world, capsys):
    """A location of log files alone is looked at together with the digests of the same account."""
    world.sign()
    _, told = world.prove(capsys, location=f"s3://{world.bucket}/AWSLogs/{ACCOUNT}/CloudTrail/")
    assert [one["valid"] for one in told["digests"]] == [HOURS]
    assert told["objects"] == 2 * HOURS + 1


def test_the_journal_tells_the_bucket(world, capsys):
    """Without --location and `buckets` it is looked for where objects came from."""
    code, told = world.prove(capsys, location="")
    assert (code, told["locations"]) == (0, [f"s3://{world.bucket}/"])


def test_the_configuration_tells_the_bucket(world, capsys):
    """`buckets` of the service, or what it lists, goes before the journal."""
    text = world.config.read_text()
    world.config.write_text(text.replace("regions:", f"buckets: [{world.bucket}/AWSLogs/]\n        regions:"))
    assert world.prove(capsys, location="")[1]["locations"] == [f"s3://{world.bucket}/AWSLogs/"]
    listing = f"s3_listing: {{bucket: {world.bucket}}}"
    world.config.write_text(text.replace(f"audit_sqs_queue_name: {world.queue.name}", listing))
    assert world.prove(capsys, location="")[1]["locations"] == [f"s3://{world.bucket}/"]


def test_a_journal_that_begins_later_is_told(world, capsys):
    """What is older than the journal cannot be told from what was never announced."""
    _, told = world.prove(capsys)
    assert any("the journal has no older row" in note for note in told["notes"])


def test_without_a_journal_nothing_is_proved(world, capsys):
    """A folder that is not there is no journal in which nothing was delivered."""
    rmtree(world.folder / "state")
    code, told = world.prove(capsys)
    assert code == 2
    assert "there is no journal" in told


def test_the_page_is_written(world, capsys, tmp_path):
    """--html writes the page of the same proof; a place that cannot be written is told."""
    _, told = world.prove(capsys, "--html", str(tmp_path / "proof.html"))
    assert f"{told['objects']:,}" in (tmp_path / "proof.html").read_text()
    assert world.prove(capsys, "--html", str(tmp_path))[0] == 2


def test_a_terminal_is_told_in_lines(world, capsys):
    """The answer first, then figures, then each gap with what to do."""
    never_announced(world, NAME % "bad")
    code, told = world.prove(capsys, as_json=False)
    lines = told.splitlines()
    assert code == 1
    assert "not complete: 1 of 2" in lines[0]
    assert any(line.startswith("never announced: s3://") and "--backfill" in line for line in lines)


def test_what_is_signed_from_before_the_stretch_is_checked_as_well(world, capsys):
    """A digest that ends in the stretch names log files from just before it: they are read, as by AWS."""
    world.sign()
    log_deleted(world)
    span = (f"{FIRST + timedelta(hours=2, minutes=45):%Y-%m-%dT%H:%M:%SZ}", STRETCH[1])
    code, told = world.prove(capsys, span=span)
    assert (code, told["verdicts"]["deleted"], told["verdicts"]["missing"]) == (1, 1, 0)
    assert [(one["valid"], one["logs"]) for one in told["digests"]] == [(2, 3)]
    if importlib.util.find_spec("awscli"):
        said = world.validated(span)
        assert Counter(kind for kind, _ in said.valid) == {"Digest": 2, "Log": 3}
        assert {name for _, name in said.invalid} == {told["gaps"][0]["name"]}


def test_where_nothing_is_nothing_is_proved(world, capsys):
    """A wrong prefix is no complete day."""
    code, told = world.prove(capsys, location=f"s3://{world.bucket}/wrong/")
    assert code == 2
    assert "no object of these dates" in told
