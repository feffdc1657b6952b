"""A journal in a bucket: what was promised is there, whatever is lost and whenever."""

import io
import os
import shutil
import time
from datetime import UTC, datetime
from operator import attrgetter

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from flows.config.load import JournalPlace
from flows.journal.book import JournalBook
from flows.journal.bucket import JournalBucket
from flows.journal.compaction import compact_closed
from flows.journal.keeping import compact_apart, recalled
from flows.journal.log import LOGS, JournalLog, logs, read
from flows.journal.reader import Query, rows
from flows.journal.recent import split
from sources.errors import SourceError
from sources.journal import digest
from tests.flows.journal.journals import MORNING, row

DAY_END = 20 * 3_600_000 + 1_790_000


class Crash(BaseException):
    """Ends everything at once, as a kill does."""


class S3:
    """As AWS documents PutObject (If-None-Match: *), GetObject, ListObjectsV2 and DeleteObject.

    trouble: called before and after each call with its number.
    """

    def __init__(self):
        self.objects, self.calls, self.trouble = {}, 0, lambda _number, _call: None

    def _called(self, call, work):
        self.calls += 1
        self.trouble(2 * self.calls, call)
        done = work()
        self.trouble(2 * self.calls + 1, call)
        return done

    def put_object(self, **asked):
        key = asked["Key"]
        if asked.get("IfNoneMatch") == "*" and key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        return self._called("put", lambda: self.objects.update({key: asked["Body"]}))

    def get_object(self, **asked):
        if asked["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return self._called("get", lambda: {"Body": io.BytesIO(self.objects[asked["Key"]])})

    def delete_object(self, **asked):
        return self._called("delete", lambda: self.objects.pop(asked["Key"], None))

    def list_objects_v2(self, **asked):
        after = asked.get("ContinuationToken") or asked.get("StartAfter", "")
        found = sorted(key for key in self.objects if key.startswith(asked["Prefix"]) and key > after)
        page = {"Contents": [{"Key": key} for key in found[:3]]}
        return self._called("list", lambda: page | ({"NextContinuationToken": found[2]} if found[3:] else {}))


@pytest.fixture
def s3():
    return S3()


def bucket(s3, folder):
    return JournalBucket("s3://kept/journal/", lambda: s3, folder)


def opened(s3, folder, clock=lambda: MORNING / 1000, name="p0"):
    there = bucket(s3, folder)
    return there, JournalLog(folder / LOGS, name, clock=clock, put=there.keep)


def found(s3, folder, **query):
    return list(rows(bucket(s3, folder), Query(**query)))


def test_what_is_written_is_there_before_the_write_returns(s3, tmp_path):
    """Another machine reads it at once, and this one reads it once."""
    _, log = opened(s3, tmp_path / "a")
    for number in range(5):
        log.write([row(number)])
        assert (
            found(s3, tmp_path / "b") == found(s3, tmp_path / "a") == [row(one) for one in range(number + 1)]
        )


@pytest.mark.parametrize("arrived", [False, True])
def test_what_s3_refuses_is_not_written(s3, tmp_path, arrived):
    """It is told, stays in no file here, and once S3 takes it again there is one row."""
    _, log = opened(s3, tmp_path / "a")
    log.write([row(0)])

    def lost(number, _call):
        if number % 2 == arrived:
            raise EndpointConnectionError(endpoint_url="https://s3")

    s3.trouble = lost
    for _ in range(3):
        with pytest.raises(SourceError, match="the journal"):
            log.write([row(1)])
    s3.trouble = lambda _number, _call: None
    log.write([row(1)])
    log.write([row(2)])
    assert list(read(logs(tmp_path / "a" / LOGS)[0])) == [row(0), row(1), row(2)]
    assert found(s3, tmp_path / "a") == [row(0), row(1), row(2)]
    assert set(map(repr, found(s3, tmp_path / "b"))) == {repr(row(one)) for one in range(3)}


def lives(s3, folder, promised):
    """Write two logs, the first over midnight, compact and ship each; what returned is promised."""
    for hour in range(2):
        at = MORNING + hour * 3_600_000 + DAY_END
        there, log = opened(s3, folder, lambda at=at: at / 1000, f"p{hour}")
        for number in range(3):
            one = row(10 * hour + number, at + 6_000 * number)
            try:
                log.write([one])
            except Crash:
                os.close(log._file)  # so does the end of a process
                raise
            promised.append(one)
        log.close()
        compact_closed(folder)
        there.ship()


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_a_crash_at_any_request_takes_no_row_that_was_promised(tmp_path, disk):
    """Before or after each request to S3: all that was promised is read, by others too, and once."""
    whole = S3()
    lives(whole, tmp_path / "whole", [])
    for moment in range(2, 2 * whole.calls + 2):
        s3, folder, promised = S3(), tmp_path / f"{moment}", []

        def crash(number, _call, moment=moment):
            if number == moment:
                raise Crash

        s3.trouble = crash
        with pytest.raises(Crash):
            lives(s3, folder, promised)
        s3.trouble = lambda _number, _call: None
        if disk == "lost":
            shutil.rmtree(folder)
        for reader in (folder, tmp_path / "elsewhere"):
            got = found(s3, reader)
            assert len(got) == len(set(map(repr, got))), moment
            assert {repr(one) for one in promised} <= {repr(one) for one in got}, moment
        if disk == "kept":  # the next life on the same disk ends what was begun
            for there in [bucket(s3, folder)] * 2:
                compact_closed(folder)
                there.ship()
                there.adopt(MORNING / 1000 + 60 * 3600)
            assert not [key for key in s3.objects if f"/{LOGS}/" in key], moment
            assert {repr(one) for one in promised} <= {repr(one) for one in found(s3, tmp_path / "elsewhere")}


def test_parquet_lies_by_day(s3, tmp_path):
    """What an hour brought is one file of its UTC day, its parts are gone, and so are the files here."""
    lives(s3, tmp_path / "a", [])
    assert [key.split("/")[1] for key in sorted(s3.objects)] == ["day=2026-01-02", *["day=2026-01-03"] * 2]
    assert not [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    day = datetime(2026, 1, 3, tzinfo=UTC).timestamp() * 1000
    assert len(found(s3, tmp_path / "a", start=int(day))) == 4
    assert found(s3, tmp_path / "a", to=int(day)) == [
        row(0, MORNING + DAY_END),
        row(1, MORNING + DAY_END + 6_000),
    ]


def test_what_a_lost_disk_left_is_made_parquet_by_others(s3, tmp_path):
    """A day later, by several at a time, whichever comes first; each row once."""
    _, log = opened(s3, tmp_path / "a")
    for number in range(7):
        log.write([row(number)])
    shutil.rmtree(tmp_path / "a")
    others = [bucket(s3, tmp_path / name) for name in "bc"]
    now = MORNING / 1000
    assert [one.adopt(now + 3600) for one in others] == [0, 0]
    assert [one.adopt(now + 27 * 3600) for one in others] == [1, 1]
    for one in others:
        compact_closed(one.folder)
        one.ship()
    assert [key.split("/")[1] for key in s3.objects] == ["day=2026-01-02"]
    assert found(s3, tmp_path / "d") == [row(number) for number in range(7)]


def test_parts_that_are_deleted_meanwhile_shorten_no_parquet(s3, tmp_path):
    """Who adopts a log of which another one has deleted half writes nothing over its Parquet."""
    _, log = opened(s3, tmp_path / "a")
    for number in range(4):
        log.write([row(number)])
    shutil.rmtree(tmp_path / "a")
    first, second = (bucket(s3, tmp_path / name) for name in "bc")
    first.adopt(MORNING / 1000 + 27 * 3600)
    compact_closed(first.folder)

    def crash(_number, call):
        if call == "delete" and sum(f"/{LOGS}/" in key for key in s3.objects) == 2:
            raise Crash

    s3.trouble = crash
    with pytest.raises(Crash):
        first.ship()
    s3.trouble = lambda _number, _call: None
    second.adopt(MORNING / 1000 + 27 * 3600)
    compact_closed(second.folder)
    second.ship()
    assert found(s3, tmp_path / "d") == [row(number) for number in range(4)]


@pytest.mark.parametrize("there", ["less", "as much", "broken"])
def test_who_was_taken_for_lost_and_wakes_loses_no_row(s3, tmp_path, there):
    """What its log has and the Parquet of others has not is put beside it, once however often it is done."""
    owner, log = opened(s3, tmp_path / "a")
    log.write([row(0), row(0)])
    other = bucket(s3, tmp_path / "b")
    other.adopt(MORNING / 1000 + 27 * 3600)
    compact_closed(other.folder)
    other.ship()
    given = [row(0), row(0)]
    if there == "broken":
        s3.objects = dict.fromkeys(s3.objects, b"PAR1")
    if there != "as much":
        given = [row(0), row(0), row(0), row(1)]
        log.write(given[2:])
    log.close()
    compact_closed(owner.folder)
    shutil.copytree(owner.folder, tmp_path / "again")
    for one in (owner, bucket(s3, tmp_path / "again")):
        one.ship()
    if there == "broken":
        s3.objects = {key: body for key, body in s3.objects.items() if body != b"PAR1"}
    assert len(s3.objects) == 1 + (there == "less")
    assert sorted(found(s3, tmp_path / "d"), key=attrgetter("time")) == given
    assert len(list(owner.of_log(next(iter(s3.objects)).rpartition("/")[2][:16]))) == len(s3.objects)


def test_who_adopts_deletes_no_part_that_came_later(s3, tmp_path):
    """A sleeper that wakes between, and loses its disk then, has its rows all the same."""
    _, log = opened(s3, tmp_path / "a")
    log.write([row(0)])
    now = MORNING / 1000 + 27 * 3600
    first, second = (bucket(s3, tmp_path / name) for name in "bc")
    first.adopt(now)
    log.write([row(1)])
    shutil.rmtree(tmp_path / "a")
    for one in (first, second):
        one.adopt(now)
        compact_closed(one.folder)
        one.ship()
    assert sorted(found(s3, tmp_path / "d"), key=attrgetter("time")) == [row(0), row(1)]
    assert not [key for key in s3.objects if f"/{LOGS}/" in key]


def test_what_is_adopted_older_than_is_kept_goes_to_the_bucket_once(s3, tmp_path):
    """It is not pruned between, with its parts left to be adopted again each hour."""
    _, log = opened(s3, tmp_path / "a")
    log.write([row(0)])
    there = bucket(s3, tmp_path / "b")
    adopted = []
    for _ in range(3):
        compact_apart(JournalPlace(there.folder, 1))
        there.ship()
        adopted.append(there.adopt(MORNING / 1000 + 90 * 86_400))
    assert adopted == [1, 0, 0]
    assert found(s3, tmp_path / "d") == [row(0)]


@pytest.mark.parametrize("compacted", [False, True])
def test_what_a_lost_disk_had_delivered_is_recalled(s3, tmp_path, compacted):
    """A start elsewhere knows what was receipted, from parts and from Parquet."""
    there, log = opened(s3, tmp_path / "a", time.time)
    log.write([row(number, int(time.time() * 1000)) for number in range(2)])
    if compacted:
        log.close()
        compact_closed(tmp_path / "a")
        there.ship()
    shutil.rmtree(tmp_path / "a")
    got = recalled(bucket(s3, tmp_path / "b"))
    known = set(split(got["audits_s3"]["production"]))
    assert known == {digest(row(0).id), digest(row(1).id)}


def test_a_bucket_that_cannot_be_listed_recalls_nothing_and_says_so(s3, tmp_path, caplog):
    """The start goes on; what was not deleted may come twice."""

    def denied(_number, _call):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")

    s3.trouble = denied
    assert recalled(bucket(s3, tmp_path)) == {}
    assert "journal_not_recalled" in caplog.text


def test_what_a_journal_has_written_itself_brings_no_row(s3, tmp_path):
    """Its own parts are announced where all of the bucket is: they are settled without another part."""
    there, log = opened(s3, tmp_path)
    book = JournalBook(log, "p0", own="s3://kept/journal")
    book.write([row(0, object="s3://kept/journal/log/1-p0/00000000.log", process="")])
    assert not s3.objects
    book.write([row(0, object="s3://kept/journals/x", process="")])
    assert len(found(s3, tmp_path)) == 1
    assert str(there) == "s3://kept/journal"
