"""The journal beside the collector: what was deleted has its row, and its row says what arrived."""

import hashlib
import random
import shutil
import time
from collections import Counter

import pytest
import yaml

from flows.journal.bucket import JournalBucket
from flows.journal.compaction import compact_closed
from flows.journal.reader import Query, rows
from tests.fakes.collector import Launch, configuration, first_difference, output, services, settle, verdict
from tests.fakes.corpus import FULL, corpus, expected

_TIMEOUT = 60.0
_VISIBILITY_SECONDS = 5


def made(stage, receiver, launch):
    """Return a site and a collector that keeps a journal."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
    given = configuration(chosen, output(receiver.port, stage.certs), stage.folder)
    given["globals"]["journal"] = str(stage.folder / "journal")
    return site, stage.collector(given, launch)


def objects(site, samples):
    """Return URI → sample."""
    return {f"s3://{site.buckets[one.service]}/{one.key}": one for one in samples}


def _whole(row):
    """Sort rows so that the one that tells most comes last."""
    return not row.repeated, not row.resumed


def check_rows(found, known):
    """Every object has a row, with the hash of its stored bytes and the tags of what came."""
    by_object = {row.object: row for row in sorted(found, key=_whole) if row.kind == "object"}
    assert by_object.keys() == known.keys()
    for uri, row in by_object.items():
        if row.repeated:  # the process ended between its receipt and its row
            continue
        sample = known[uri]
        assert row.stored_bytes == len(sample.body)
        assert row.sha256 == hashlib.sha256(sample.body).digest()
        if not row.resumed:
            assert dict(row.tags) == dict(Counter(event.tag_on for event in sample.expected)), uri
            assert row.events == len(sample.expected)
    return by_object


@pytest.mark.parametrize("launch", [Launch("flows"), Launch("replicas", processes=2)], ids=str)
def test_every_object_has_its_row(stage, rsyslog, launch):
    """Collected whole: one row for each object, before and after compaction."""
    site, collector = made(stage, rsyslog, launch)
    samples = corpus({kind: count // 10 for kind, count in FULL.items()}, seed=7)
    try:
        collector.start()
        site.put(samples)
        due = expected(samples, auto=True)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    folder = stage.folder / "journal"
    known = objects(site, samples)
    found = list(rows(folder, Query()))
    check_rows(found, known)
    assert {row.outputs for row in found if row.events} == {("devo:receipt",)}
    assert compact_closed(folder)
    check_rows(list(rows(folder, Query())), known)
    assert verdict(due, rsyslog.events()).exactly_once, first_difference(due, rsyslog.events())


def put_more(site, samples, seed):
    """Put objects whose keys are new, a twentieth of the corpus, and add them to the samples before."""
    more = corpus({kind: count // 20 for kind, count in FULL.items()}, seed=seed)
    more = [one for one in more if one.key not in {old.key for old in samples}]
    samples += more
    site.put(more)


def killed(stage, receiver, figures, times):
    """Kill a collector at random moments; return what the journal lacks."""
    site, collector = made(stage, receiver, Launch("flows"))
    seed = random.Random(times)
    samples = []
    try:
        for number in range(times):
            collector.start()
            put_more(site, samples, 100 + number)
            receiver.wait_for(1, _TIMEOUT)
            time.sleep(seed.uniform(0.0, 2.0))
            collector.kill()
            written = {row.object for row in rows(stage.folder / "journal", Query())}
            deleted = len(samples) - site.waiting()
            assert deleted <= len(written), f"{deleted} messages were deleted, {len(written)} have rows"
            receiver.wait_quiet(0.3)
            events, known = receiver.events(), objects(site, samples)
            for uri in written & known.keys():
                due = Counter((one.tag_on, one.line) for one in known[uri].expected)
                assert not due - events, f"{uri} has a row, and not all of its events had arrived"
        collector.start()
        due = expected(samples, auto=True)
        settle(collector, receiver, [site], due.total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    check_rows(list(rows(stage.folder / "journal", Query())), objects(site, samples))
    result = verdict(due, receiver.events())
    figures(f"{times} kills, {len(samples)} objects, deleted without a row: 0, {result}")
    assert result.lost == 0


def test_a_kill_leaves_no_deleted_message_without_its_row(stage, rsyslog, figures):
    """Killed at random moments: at each, no more messages are deleted than objects have rows."""
    killed(stage, rsyslog, figures, 4)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_fifty_kills_leave_no_deleted_message_without_its_row(stage, rsyslog, figures):
    """The long form."""
    killed(stage, rsyslog, figures, 50)


def test_a_journal_that_cannot_be_written_holds_deletions_back(stage, rsyslog):
    """Events arrive and no message is deleted; once it can be written all have rows and are deleted."""
    site, collector = made(stage, rsyslog, Launch("flows"))
    samples = corpus({"cloudtrail": 3, "vpc": 3}, seed=3)
    folder = stage.folder / "journal"
    folder.write_text("a file where the folder should be")
    due = expected(samples, auto=True)
    try:
        collector.start()
        site.put(samples)
        rsyslog.wait_for(due.total(), _TIMEOUT)
        time.sleep(2)
        assert site.waiting() >= len(samples)
        assert "journal_failed" in collector.tail()
        folder.unlink()
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    check_rows(list(rows(folder, Query())), objects(site, samples))
    assert verdict(due, rsyslog.events()).exactly_once


def test_a_journal_in_a_bucket_outlives_every_disk(stage, rsyslog, figures):
    """Killed at random moments, all disks lost: at each, no more messages are deleted than S3 has rows."""
    site, collector = made(stage, rsyslog, Launch("flows"))
    kept = stage.aws.bucket(stage.unique("kept"))
    given = yaml.safe_load((collector.folder / "config.yaml").read_text())
    given["globals"]["journal"] = f"s3://{kept}/journal/"
    collector.configure(given)
    there = JournalBucket(f"s3://{kept}/journal", lambda: stage.aws.client("s3"), stage.folder / "nothing")
    seed, samples = random.Random(4), []
    try:
        for number in range(4):
            collector.start()
            put_more(site, samples, 300 + number)
            rsyslog.wait_for(1, _TIMEOUT)
            time.sleep(seed.uniform(0.0, 2.0))
            collector.kill()
            shutil.rmtree(stage.folder / "state", ignore_errors=True)
            written = {row.object for row in rows(there, Query())}
            deleted = len(samples) - site.waiting()
            assert deleted <= len(written), f"{deleted} messages were deleted, {len(written)} have rows"
        collector.start()
        due = expected(samples, auto=True)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    shutil.rmtree(stage.folder / "state", ignore_errors=True)
    check_rows(list(rows(there, Query())), objects(site, samples))
    result = verdict(due, rsyslog.events())
    figures(f"4 kills with their disks, {len(samples)} objects, deleted without a row in S3: 0, {result}")
    assert result.lost == 0


def test_a_bucket_that_takes_no_rows_holds_deletions_back(stage, rsyslog):
    """It does not exist yet: events arrive and no message is deleted; then each object has one row."""
    site, collector = made(stage, rsyslog, Launch("flows"))
    name = stage.unique("kept")
    given = yaml.safe_load((collector.folder / "config.yaml").read_text())
    given["globals"]["journal"] = f"s3://{name}"
    collector.configure(given)
    samples = corpus({"cloudtrail": 3, "vpc": 3}, seed=3)
    due = expected(samples, auto=True)
    try:
        collector.start()
        site.put(samples)
        rsyslog.wait_for(due.total(), _TIMEOUT)
        time.sleep(3)
        assert site.waiting() >= len(samples)
        assert "journal_failed" in collector.tail()
        stage.aws.bucket(name)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    there = JournalBucket(f"s3://{name}", lambda: stage.aws.client("s3"), stage.folder / "nothing")
    found = [row for row in rows(there, Query()) if row.kind == "object"]
    check_rows(found, objects(site, samples))
    assert len(found) == len(samples)
