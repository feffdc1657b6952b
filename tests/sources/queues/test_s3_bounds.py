"""What one message may cost others, and a quarantine that lies where objects are announced."""

import json
import logging

import pytest

from sinks.quarantine import name_of, to_json
from sources.errors import Denied
from sources.objects import decoded_chunk
from sources.objects.decode import DecodeLimits, read
from sources.queues.bucket_trust import BucketTrust
from sources.queues.s3 import Access, S3Opener
from sources.queues.sqs import Message
from tests.sources.objects.fake_s3 import LOST, FakeS3
from tests.sources.queues.leasing import aws_error
from tests.sources.queues.test_s3 import LINES, payload, poisons, reader, until_error
from transforms import telemetry
from transforms.block import Origin, Poison
from transforms.layout import Layout
from transforms.telemetry import LINES_A_MINUTE, say


def named(*keys, bucket="b"):
    return Message("m", "r", json.dumps({"s3Bucket": bucket, "s3ObjectKey": list(keys)}), queue="q")


def opened(s3, message, quarantine=""):
    opener = S3Opener(
        "flowlogs",
        s3.account,
        reader,
        access=Access(BucketTrust("flowlogs"), kept=(quarantine, "s3://j/journal")),
    )
    return opener.open(message, lambda _: 0)


@pytest.fixture
def s3():
    made = FakeS3()
    made.put("k", LINES)
    return made


def test_a5_keys_that_are_not_there_end_a_message(s3):
    """After a hundred objects in a row that are not there the message goes to quarantine, whole."""
    message = named("k", *(f"gone-{n}" for n in range(5000)), "k2")
    found = list(opened(s3, message))
    assert payload(found) == LINES
    assert len(s3.asked) == 101
    (poison,) = poisons(found)
    assert poison.body.decode() == message.body
    assert "100 objects in a row" in poison.detail


def test_a5_honest_gaps_do_not_end_a_message(s3):
    """A message whose objects are there now and then is read to its end."""
    keys = [key for n in range(5) for key in (*(f"gone-{n}-{m}" for m in range(90)), f"there-{n}")]
    for n in range(5):
        s3.put(f"there-{n}", LINES)
    found = list(opened(s3, named(*keys)))
    assert payload(found) == LINES * 5
    assert not poisons(found)


def test_a5_refusals_end_a_message(s3):
    """After eight refusals in a row the message is given back; what was read before is kept."""

    def fault(**asked):
        if asked["Key"] != "k":
            raise aws_error("GetObject", "AccessDenied", 403)

    s3.fault = fault
    seen, error = until_error(opened(s3, named("k", *(f"denied-{n}" for n in range(5000)))))
    assert isinstance(error, Denied)
    assert payload(seen) == LINES
    assert len(s3.asked) == 9


def test_a5_174752_keys_cost_nothing(s3):
    """A message of as many keys as fit into it is quarantined without a request."""
    found = list(opened(s3, named(*["a"] * 174_752)))
    (poison,) = poisons(found)
    assert "more than 10000 objects" in poison.detail
    assert not s3.asked


def test_a5_warnings_have_a_rate(caplog, monkeypatch):
    """Of many warnings of one kind some are left out, and counted in the next one; others are told."""
    clock = [0.0]
    monkeypatch.setattr(telemetry.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(telemetry, "_LINES", telemetry._Lines())
    heard = []
    telemetry.listen(listener := lambda event, _fields: heard.append(event))
    for n in range(1000):
        say(logging.WARNING, "object_missing", service="flowlogs", key=n)
    say(logging.WARNING, "object_missing", service="umbrella")
    clock[0] = 61.0
    say(logging.WARNING, "object_missing", service="flowlogs", key="last")
    telemetry.unlisten(listener)
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(told) == LINES_A_MINUTE + 2
    assert f"left_out={1000 - LINES_A_MINUTE}" in told[-1]
    assert len(heard) == 1002


BAD = Poison("object_broken", "no", Origin("flowlogs", object="s3://b/k"))


def kept(s3, prefix, bucket="b"):
    """Put a quarantine file, as a collector writes it, and return its key."""
    from datetime import UTC, datetime  # noqa: PLC0415 - of this helper alone

    key = prefix + name_of(BAD)
    s3.put(key, to_json(BAD, datetime.now(UTC)), bucket)
    return key


@pytest.mark.parametrize("where", ["s3://b/q", "s3://b/q/", "s3://b"])
def test_r5_own_quarantine_is_settled_unread(s3, where):
    """Whatever is under the prefix of our quarantine is neither read nor kept, whoever wrote it."""
    keys = ["q/object_broken/x.json", "q/y.gz"]
    assert list(opened(s3, named(*keys), where)) == []
    assert not s3.asked
    assert list(opened(s3, named("journal/log/1-p/0.log", bucket="j"), where)) == []


def test_r5_beside_the_own_quarantine_is_read(s3):
    """A prefix that only begins alike, and another bucket, are no quarantine of ours."""
    s3.put("quarter/k", LINES)
    assert payload(opened(s3, named("quarter/k"), "s3://b/q")) == LINES
    s3.put("q/k", LINES, "other")
    assert payload(opened(s3, named("q/k", bucket="other"), "s3://b/q")) == LINES


@pytest.mark.parametrize("cuts", [[], [(5, LOST)]])
def test_r5_quarantine_of_another_collector(s3, monkeypatch, cuts):
    """Files of other collectors' quarantines are told by key and content: settled, counted, not read."""
    counted = []
    monkeypatch.setattr("sources.telemetry.notice_ignored", lambda *told: counted.append(told))
    message, s3.cuts = named(kept(s3, "their/quarantine/")), cuts  # a read returns what one receive brings
    (end,) = opened(s3, message)
    assert (end.items, end.last, end.gone) == ((), True, False)
    assert counted == [("flowlogs", "other_quarantine")]


def test_r5_logs_that_are_named_like_quarantine_are_read(s3):
    """An object that has only such a name is read whole."""
    key = name_of(BAD)
    s3.put(key, LINES)
    assert payload(opened(s3, named(key))) == LINES


def test_a14_an_object_of_too_much_work_is_quarantined_behind_what_was_sent(s3, monkeypatch):
    """Its end is a pointer to it, which tells from where on it is missing; it is not read twice."""
    seconds = iter(range(1000))
    monkeypatch.setattr(decoded_chunk.time, "thread_time", lambda: float(next(seconds)))
    s3.put("much", LINES * 1000)
    opener = S3Opener(
        "flowlogs", s3.account, lambda body, _: read(body, Layout(), DecodeLimits(max_cpu_seconds=5))
    )
    found = list(opener.open(named("much"), lambda _: 0))
    (poison,) = poisons(found)
    assert poison.reason == "object_bomb"
    assert poison.origin.record == payload(found).count(b"\n") > 0
    assert found[-1].last
    assert len(s3.asked) == 1
