"""Digests verified as they come: by account and region, each harm within the hour."""

import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from botocore.exceptions import ReadTimeoutError
from prometheus_client import REGISTRY

from flows.catalogue.service import RunContext
from flows.catalogue.services import units
from flows.commands.iam_policy import Known, grants
from flows.config.load import load
from flows.journal.book import JournalBook
from flows.journal.log import JournalLog
from flows.journal.reader import Query, rows
from flows.proof import continuous
from flows.proof.continuous import DELIVERED_SECONDS, DigestWatch
from sources.errors import BadCredentials
from sources.objects.object_ref import ObjectRef
from tests.fakes.process import wait_until
from tests.flows.proof.trails import ACCOUNT, FIRST, log_name
from tests.flows.proof.worlds import HOURS, REGION, World
from transforms.telemetry import listen, unlisten

NOW = FIRST.timestamp() + 9 * 3600


@pytest.fixture
def world(aws, unique, tmp_path, keys_known):
    """Return a signed trail, all of it delivered."""
    made = World(aws, unique, tmp_path)
    made.config.write_text(made.config.read_text().replace("regions:", "prove: continuous\n        regions:"))
    made.sign()
    return made


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def watch(world):
    """Return a watch over the world, its clock, and what gives the metrics that were moved since."""
    (unit,) = units(load(world.config))
    clock = Clock()
    made = DigestWatch(unit, world.folder / "state" / "journal", clock)
    before = counted()
    return made, clock, lambda: counted() - before


def counted():
    """Return result → count of all digests and log files of the account and region."""
    found = Counter()
    for metric in REGISTRY.collect():
        for one in metric.samples:
            if one.name in {"collector_digests_total", "collector_signed_log_files_total"}:
                assert not one.value or (one.labels["account"], one.labels["region"]) == (ACCOUNT, REGION)
                found[one.labels["result"]] += int(one.value)
    return found


def come(world, watch, *hours):
    """Let digests of these hours be announced, one look each."""
    for hour in hours:
        watch.note(ObjectRef(world.bucket, world.trail.names[hour]))
        watch.look()


def test_each_digest_is_verified_once_in_whatever_order_they_came(world, watch):
    """A later one leads back to those before it, which wait behind it."""
    made, _, moved = watch
    come(world, made, 0)
    for hour in reversed(range(1, HOURS)):
        made.note(ObjectRef(world.bucket, world.trail.names[hour]))
    made.look()
    assert moved()["valid"] == HOURS


def test_a_queue_that_is_named_by_its_url_alone(world, monkeypatch):
    """It tells the region in which digests are asked for."""
    world.by_url(monkeypatch)
    before = counted()
    come(world, DigestWatch(units(load(world.config))[0], None, Clock()), 0)
    assert counted() - before == Counter(valid=1, intact=2)


def test_what_is_whole_is_counted(world, watch):
    """Each digest and each log file that it names, once; other objects are none of its business."""
    made, clock, moved = watch
    made.note(ObjectRef(world.bucket, log_name(0, 0, REGION)))
    come(world, made, 0, 1, 2, 3)
    clock.now += DELIVERED_SECONDS + 1
    made.look()
    assert moved() == Counter(valid=4, intact=8)


def test_a_digest_that_was_deleted_is_missed_by_the_next_one(world, watch):
    """The second hour's digest is gone before it was announced: the third names it."""
    made, _, moved = watch
    come(world, made, 0)
    world.delete(world.trail.names[1])
    come(world, made, 2)
    assert moved()["digest_deleted"] == 1


def test_a_digest_that_was_not_announced_is_verified_by_the_next_one(world, watch):
    """Its message was lost, it lies in the bucket: it is verified all the same."""
    made, _, moved = watch
    come(world, made, 0, 3)
    assert moved() == Counter(valid=4, intact=8)


def test_harm_to_log_files_is_told(world, watch):
    """One is altered, one is deleted."""
    made, _, moved = watch
    world.put(log_name(1, 0, REGION), b"other")
    world.delete(log_name(1, 1, REGION))
    come(world, made, 1)
    assert moved() == Counter(valid=1, modified=1, deleted=1)


def test_harm_to_a_digest_is_told(world, watch):
    """It is signed by another key."""
    made, _, moved = watch
    world.trail.again(1, key="stranger")
    world.store()
    come(world, made, 1)
    assert moved() == Counter(digest_invalid=1)


def test_a_chain_that_was_cut_is_told(world, watch):
    """Logging was off: the digest names none before it, though there is one."""
    made, _, moved = watch
    world.trail.again(2, before=None)
    world.store()
    come(world, made, 1, 2)
    assert moved()["chain_gap"] == 1


def test_a_trail_that_begins_is_no_gap_in_whatever_order_its_digests_come(world, watch):
    """Its first digest names none before it, and comes after the second, as queues may have it, or twice."""
    made, _, moved = watch
    come(world, made, 1, 0, 0)
    assert moved() == Counter(valid=3, intact=6)


def test_a_log_file_that_was_not_delivered_is_told_within_the_hour(world, watch):
    """The journal has no row of it an hour after its digest came."""
    made, clock, moved = watch
    extra = log_name(1, 7, REGION)
    world.trail.logs[1][extra] = b"{}"
    world.put(extra, b"{}")
    world.trail.again(1)
    world.store()
    come(world, made, 1)
    assert "not_delivered" not in moved()
    clock.now += DELIVERED_SECONDS + 1
    made.look()
    assert moved()["not_delivered"] == 1


def test_what_cannot_be_looked_at_is_tried_again(world, watch, monkeypatch):
    """While CloudTrail gives no keys nothing is told of the digest; then it is verified."""
    made, _, moved = watch
    right = made._unit.account.client

    def none(service, region):
        if service == "s3":
            return right(service, region)
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(made._unit.account, "client", none)
        come(world, made, 0)
    assert moved() == Counter()
    made.look()
    assert moved() == Counter(valid=1, intact=2)


class Broken:
    """An S3 client whose bodies end before their time, for keys of some kind."""

    def __init__(self, client, which, error):
        self.client, self.which, self.error = client, which, error

    def get_object(self, Bucket, Key):  # noqa: N803 - boto3's names
        reply = self.client.get_object(Bucket=Bucket, Key=Key)
        return {**reply, "Body": self} if self.which in Key else reply

    def read(self, _size):
        raise self.error


def broken(monkeypatch, watch, which, error=None):
    """Let bodies of keys with this text in them break until the patch is undone."""
    right = watch._unit.account.client
    error = error or ReadTimeoutError(endpoint_url="s3")

    def client(service, region):
        return Broken(right(service, region), which, error) if service == "s3" else right(service, region)

    monkeypatch.setattr(watch._unit.account, "client", client)


@pytest.mark.parametrize("which", [0, log_name(1, 1, REGION)])
def test_a_body_that_breaks_is_read_again_at_the_next_look(world, watch, monkeypatch, which):
    """A digest's, or that of a log file of the one before it: nothing is told, and then each thing once."""
    made, _, moved = watch
    come(world, made, 0)
    with monkeypatch.context() as patch:
        broken(patch, made, which or world.trail.names[2])
        come(world, made, 2)
    made.look()
    assert moved() == Counter(valid=3, intact=6)


@pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="s3"), RecursionError()])
def test_a_digest_that_cannot_be_read_stops_no_other(world, watch, monkeypatch, error):
    """It waits behind those that came later, and is verified when it can be."""
    made, _, moved = watch
    with monkeypatch.context() as patch:
        broken(patch, made, world.trail.names[0], error)
        for hour in (0, 1):
            made.note(ObjectRef(world.bucket, world.trail.names[hour]))
        made.look()
        assert moved() == Counter(valid=1, intact=2)
    made.look()
    assert moved() == Counter(valid=2, intact=4)


def test_an_identity_that_is_refused_ends_the_look(world, watch, monkeypatch):
    """All digests share it: one is asked for, and all of them wait."""
    made, _, moved = watch
    asked = []
    monkeypatch.setattr(made, "_digest", lambda *name: asked.append(name) or refused())
    for hour in (0, 1):
        made.note(ObjectRef(world.bucket, world.trail.names[hour]))
    made.look()
    assert (len(asked), len(made._waiting), moved()) == (1, 2, Counter())


def refused():
    raise BadCredentials("nobody knows this key", "s3", "repair it")


def test_a_look_that_fails_is_told_and_the_next_one_goes_on(watch, monkeypatch):
    """The thread lives on."""
    made, _, _ = watch
    turns, told = iter([False, False, True]), []
    monkeypatch.setattr(made, "look", lambda: 1 // 0)
    listen(hear := lambda event, _fields: told.append(event))
    try:
        made.run(SimpleNamespace(wait=lambda _seconds: next(turns)))
    finally:
        unlisten(hear)
    assert told == ["digests_not_looked_at"] * 2


def test_what_waits_is_bounded(world, watch, monkeypatch):
    """More digests than may wait: the oldest are counted as not verified."""
    monkeypatch.setattr(continuous, "MOST_DIGESTS", 2)
    made, _, moved = watch
    for name in world.trail.names:
        made.note(ObjectRef(world.bucket, name))
    assert moved() == Counter(unverified=2)


def test_it_is_begun_only_where_it_is_asked_for(world):
    """`prove: continuous` begins a watch; without it no object is told to anybody."""
    drain = threading.Event()
    drain.set()
    (unit,) = units(load(world.config))
    assert continuous.begin(None, drain)(unit)
    world.config.write_text(world.config.read_text().replace("prove: continuous", "prove: on_demand"))
    (unit,) = units(load(world.config))
    assert continuous.begin(None, drain)(unit) is None


def test_what_it_needs_is_in_the_policy(world):
    """The keys of digests and the listing of the bucket, without an option."""
    (grant,) = grants(load(world.config), Known(ACCOUNT, (world.bucket,)))
    actions = {action for statement in grant.statements for action in statement.actions}
    assert {"cloudtrail:ListPublicKeys", "s3:ListBucket"} <= actions


def test_what_a_queue_announces_is_verified_on_its_way(world, watch):
    """Digests and log files go through the service's own source: verified, with their rows, deleted."""
    made, _, moved = watch
    (unit,) = units(load(world.config))
    keys = [*world.trail.names, *(key for hour in world.trail.logs for key in hour)]
    for key in keys:
        told = world.aws.client("s3").head_object(Bucket=world.bucket, Key=key)
        world.announce(key, told["ETag"].strip('"'))
    drain = threading.Event()
    journal = JournalBook(JournalLog(world.folder / "live" / "log", "p"), "p")
    source = unit.service.source(unit, RunContext(drain, journal=journal, watch=lambda _unit: made.note))
    lane = source.build_part("step", source.list_parts()[0], None)

    def done():
        lane.next_batch()
        lane.snapshot()
        return world.aws.depth(world.queue) == (0, 0)

    try:
        wait_until(done, 60, "all is deleted")
    finally:
        drain.set()
        lane.close()
    made.look()
    assert moved() == {"valid": HOURS, "intact": 2 * HOURS}
    found = {row.object.rpartition("/")[2]: row for row in rows(world.folder / "live", Query())}
    assert len(found) == len(keys)
    assert sum(row.records for row in found.values()) == 3 * 2 * HOURS
