"""The lease family against an embedded AWS and a proxy that breaks things: hazards of queues and objects."""

import gzip
import hashlib
import json
import threading
import time
from collections import Counter
from functools import partial

import boto3
import pytest
from botocore.config import Config
from msgspec.structs import replace

from sources.objects.body import BodyOptions
from sources.objects.decode import DecodeLimits, read
from sources.queues.events import EventOpener, eventbridge
from sources.queues.lease import LeaseOptions, LeaseSource, Queue
from sources.queues.s3 import S3Opener
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import Depth
from tests.sources.queues.leasing import Account, Run
from transforms.block import Poison
from transforms.layout import Layout

OPTIONS = LeaseOptions(wait_seconds=1, fetchers=4, receivers=2, visibility_timeout_seconds=30)
NASTY = "AWSLogs/111122223333/vpcflowlogs/eu-west-3/day=1/a folder/día+1%3D2.log.gz"


def reader(body, _ref):
    return read(body, Layout(), DecodeLimits())


def lines(name, count=5):
    return [f"{name} event {number}" for number in range(count)]


def packed(name, count=5):
    return gzip.compress(("\n".join(lines(name, count)) + "\n").encode())


def received(aws, queue, count):
    """Take the notices of so many objects out of a queue."""
    sqs, found = aws.client("sqs", queue.region), []
    while len(found) < count:
        reply = sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in reply.get("Messages", []):
            found += [message["Body"]] if "ObjectCreated" in message["Body"] else []
            sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    return found


class Site:
    """A bucket whose new objects are announced in a queue, and sources that read it."""

    def __init__(self, aws, unique):
        self.aws = aws
        self.queue, self.bucket = aws.queue(unique("queue")), aws.bucket(unique("bucket"))
        self.drain = threading.Event()
        self.runs = []
        self.endpoint, self.read_timeout = aws.url, 2
        self._clients = {}

    def client(self, service, region):
        """Make clients of its own endpoint: the proxy, where one stands between."""
        key = (service, region)
        if key not in self._clients:
            quick = Config(
                read_timeout=self.read_timeout,
                retries={"mode": "standard", "total_max_attempts": 2},
                max_pool_connections=32,
            )
            self._clients[key] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=quick,
            )
        return self._clients[key]

    def put(self, *names, count=5):
        for name in names:
            self.aws.put(self.bucket, name, packed(name, count))

    def run(self, opener=None, options=OPTIONS, states=None, queues=None):
        account = Account(self.client)
        opener = opener or S3Opener("flowlogs", account, reader)
        queues = queues or [Queue(account, "us-east-1", self.queue.name)]
        self.runs.append(Run(LeaseSource("flowlogs", queues, opener, options, self.drain), states))
        return self.runs[-1]

    def empty(self):
        return self.aws.depth(self.queue) == Depth(0, 0)

    def close(self):
        for run in self.runs:
            run.close()
        for client in self._clients.values():
            client.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("sources.queues.failure_policy.LONGEST_SECONDS", 1)
    monkeypatch.setattr("sources.queues.receiver.pause_after", lambda *_: 0.2)


@pytest.fixture
def site(aws, unique):
    made = Site(aws, unique)
    yield made
    made.close()


@pytest.fixture
def announced(site):
    site.aws.announce_by_sqs(site.bucket, site.queue)
    return site


@pytest.fixture
def proxy(announced):
    with FaultProxy(announced.aws.url) as running:
        announced.endpoint = running.url
        yield running
        announced.close()


@pytest.mark.parametrize("form", ["sqs", "sns", "sns raw", "eventbridge"])
def test_h01_h02_objects_announced_in_each_form(site, form):
    """An object with a nasty key is collected once, however it is announced, and its message deleted."""
    announce = {
        "sqs": site.aws.announce_by_sqs,
        "sns": site.aws.announce_by_sns,
        "sns raw": lambda bucket, queue: site.aws.announce_by_sns(bucket, queue, raw=True),
        "eventbridge": site.aws.announce_by_eventbridge,
    }[form]
    announce(site.bucket, site.queue)
    site.aws.put(site.bucket, NASTY, packed("x"))
    run = site.run()
    run.until(lambda: len(run.lines) == 5 and site.empty(), "five events, and an empty queue")
    assert run.lines == lines("x")
    origin = run.items[0].origin
    assert origin.object == f"s3://{site.bucket}/{NASTY}"
    assert (origin.account, origin.region, origin.container) == ("111122223333", "eu-west-3", site.queue.name)


def test_h02_what_holds_no_data_is_settled(announced):
    """Test events, deletions and validation messages leave the queue; strange bodies go to quarantine."""
    sqs = announced.aws.client("sqs")
    validation = {"Type": "Notification", "TopicArn": "t", "Message": "CloudTrail validation message."}
    for body in (json.dumps(validation), '{"Service":"Amazon S3","Event":"s3:TestEvent"}', "what is this"):
        sqs.send_message(QueueUrl=announced.queue.url, MessageBody=body)
    run = announced.run()
    run.until(announced.empty, "an empty queue")
    assert [(item.reason, item.body) for item in run.items] == [("notice_unknown", b"what is this")]


def test_fifo_queue_of_events(site, unique):
    """Messages of a FIFO queue, several groups, are each emitted once and deleted."""
    queue = site.aws.queue(unique("fifo"), fifo=True)
    bodies = [json.dumps({"source": "aws.ec2", "detail-type": "x", "n": number}) for number in range(25)]
    for number, body in enumerate(bodies):
        site.aws.send(queue, body, MessageGroupId=f"g{number % 3}")
    account = Account(site.client)
    run = site.run(EventOpener("events", eventbridge), queues=[Queue(account, "us-east-1", queue.url)])
    run.until(
        lambda: len(run.lines) == 25 and site.aws.depth(queue) == Depth(0, 0), "all events, all deleted"
    )
    assert sorted(run.lines) == sorted(bodies)


def test_h05_out_of_order_and_twice(announced):
    """Notices that come twice and in any order bring each object once."""
    announced.put(*(f"k{number}" for number in range(10)))
    for body in reversed(received(announced.aws, announced.queue, 10)):
        announced.aws.send(announced.queue, body)
        announced.aws.send(announced.queue, body)
    run = announced.run()
    run.until(lambda: len(run.lines) >= 50, "all events")
    for _ in range(20):
        run.round()
    assert sorted(run.lines) == sorted(line for number in range(10) for line in lines(f"k{number}"))


def test_h04_short_visibility_and_a_slow_object(announced, proxy, monkeypatch):
    """An object that takes three times its lease comes once: its message is kept from others meanwhile."""
    announced.put("slow")
    proxy.add("drip", op="s3.GetObject", size=len(packed("slow")) // 5, seconds=4)
    monkeypatch.setattr("sources.objects.bucket_reader.BodyOptions", partial(BodyOptions, floor=0))
    announced.read_timeout = 60
    run = announced.run(options=replace(OPTIONS, visibility_timeout_seconds=7))
    other = announced.aws.client("sqs")
    stolen = []

    def done():
        stolen.extend(other.receive_message(QueueUrl=announced.queue.url).get("Messages", []))
        return len(run.lines) == 5 and announced.empty()

    run.until(lambda: proxy.rules[0].seen, "the object asked for")
    run.until(done, "the slow object")
    assert [message for message in stolen if "TestEvent" not in message["Body"]] == []
    assert proxy.count("s3.GetObject") == 1


def test_h04_a_reply_that_a_link_holds_is_not_sent_again(announced, proxy):
    """Beyond its lease: another process has the messages meanwhile, and they are sent once."""
    announced.put("a", "b", "c")
    proxy.add("drip", op="sqs.ReceiveMessage", size=700, seconds=2.5, times=1)
    announced.read_timeout = 60
    patient = announced.client("sqs", "us-east-1")
    options = replace(OPTIONS, visibility_timeout_seconds=2, wait_seconds=1, receivers=1)
    queue = Queue(Account(lambda *_: patient), "us-east-1", announced.queue.name)
    held = announced.run(queues=[queue], options=options)
    held.until(lambda: proxy.rules[0].seen, "the messages are asked for")
    announced.endpoint = announced.aws.url
    announced._clients = {}
    other = announced.run(options=options)
    held.until(lambda: (other.round() or True) and announced.empty(), "all are deleted")
    held.until(lambda: proxy.count("sqs.ReceiveMessage") > 1, "the reply came")
    patient.close()
    assert sorted(held.lines + other.lines) == sorted(line for name in "abc" for line in lines(name))


def test_h04_kept_while_the_sink_is_blocked(announced):
    """Nobody calls the lanes for twice the lease; nothing becomes visible, all is emitted once."""
    announced.put("a", "b")
    run = announced.run(options=replace(OPTIONS, visibility_timeout_seconds=6))
    run.until(lambda: any(len(lane._inbox) for lane in run.lanes.values()) or run.items, "something fetched")
    until = time.monotonic() + 12
    while time.monotonic() < until:
        assert announced.aws.depth(announced.queue).visible == 0
        time.sleep(0.1)
    run.until(lambda: len(run.lines) == 10 and announced.empty(), "all events, all deleted")


def test_h04_lease_that_cannot_be_kept(announced, proxy):
    """A message that comes again while its object is still being read: its events come once all the same."""
    announced.put("a")
    proxy.add("error", op="sqs.ChangeMessageVisibility*", times=12)
    proxy.add("latency", op="s3.GetObject", seconds=1.9, times=1)
    run = announced.run(options=replace(OPTIONS, visibility_timeout_seconds=1))
    run.until(lambda: run.lines and announced.empty(), "the message deleted", 40)
    assert run.lines == lines("a")
    assert proxy.rules[0].fired


def test_two_feeds_on_one_queue(announced):
    """Two processes on one queue share its messages; each object is emitted by one of them."""
    announced.put(*(f"k{number}" for number in range(60)))
    first, second = announced.run(), announced.run()

    def done():
        second.round()
        return len(first.lines) + len(second.lines) >= 300 and announced.empty()

    first.until(done, "all events, all deleted")
    counted = Counter(first.lines + second.lines)
    assert len(counted) == 300
    assert set(counted.values()) == {1}
    assert first.lines
    assert second.lines


@pytest.mark.parametrize("fault", ["reset", "truncate", "cut", "stall", "lost", "error"])
def test_h19_objects_through_faults(announced, proxy, fault):
    """Bodies that are truncated, cut or stall, resets, lost replies, 503s: no line twice, none missing."""
    names = [f"k{number}" for number in range(6)]
    announced.put(*names, count=200)
    proxy.add(fault, op="s3.GetObject", times=5)
    run = announced.run()
    expected = sorted(line for name in names for line in lines(name, 200))
    run.until(lambda: len(run.lines) >= len(expected) and announced.empty(), "all events, all deleted", 60)
    assert sorted(run.lines) == expected
    assert not [item for item in run.items if isinstance(item, Poison)]


@pytest.mark.parametrize("op", ["sqs.ReceiveMessage", "sqs.DeleteMessageBatch", "sqs.GetQueueUrl"])
@pytest.mark.parametrize("fault", ["error", "reset", "lost", "junk"])
def test_h19_queue_calls_through_faults(announced, proxy, op, fault):
    """Throttling, resets, lost replies and proxies' pages on each call of the queue: all comes once."""
    announced.put("a", "b", "c")
    proxy.add(fault, op=op, times=3)
    run = announced.run(options=replace(OPTIONS, visibility_timeout_seconds=2))
    run.until(lambda: len(run.lines) >= 15 and announced.empty(), "all events, all deleted", 60)
    assert sorted(run.lines) == sorted(lines("a") + lines("b") + lines("c"))


def test_h03_second_object_of_a_message_fails(announced, proxy):
    """Two objects in one message, the second is throttled: the message stays, the first comes once."""
    for name in ("first", "second"):
        announced.aws.put(announced.bucket, name, packed(name))
    sqs = announced.aws.client("sqs")
    sqs.purge_queue(QueueUrl=announced.queue.url)
    etag = announced.aws.client("s3").head_object
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "awsRegion": "us-east-1",
            "s3": {
                "bucket": {"name": announced.bucket},
                "object": {"key": key, "eTag": etag(Bucket=announced.bucket, Key=key)["ETag"].strip('"')},
            },
        }
        for key in ("first", "second")
    ]
    announced.aws.send(announced.queue, json.dumps({"Records": records}))
    in_flight = lambda: announced.aws.depth(announced.queue).in_flight  # noqa: E731 - short
    proxy.add("error", op="s3.GetObject", path="/second", times=2)
    run = announced.run()
    run.until(lambda: run.lines == lines("first") and in_flight() == 1, "the first")
    run.until(lambda: len(run.lines) == 10 and announced.empty(), "the second", 40)
    assert run.lines == lines("first") + lines("second")


def test_h06_queue_that_comes_later(site, unique):
    """A queue that does not exist yet is collected once it does; another queue is not kept waiting."""
    site.aws.announce_by_sqs(site.bucket, site.queue)
    late, account = unique("late"), Account(site.client)
    queues = [Queue(account, "us-east-1", late), Queue(account, "us-east-1", site.queue.name)]
    run = site.run(queues=queues)
    site.put("a")
    run.until(lambda: run.lines == lines("a"), "the other queue's events")
    created, bucket = site.aws.queue(late), site.aws.bucket(unique("bucket"))
    site.aws.announce_by_sqs(bucket, created)
    site.aws.put(bucket, "b", packed("b"))
    run.until(lambda: run.lines == lines("a") + lines("b"), "the late queue's events")


def test_h07_denied_object_stays_in_the_queue(announced, proxy):
    """AccessDenied keeps the message; it is collected when the permission is there."""
    announced.put("a")
    proxy.add("error", op="s3.GetObject", status=403, code="AccessDenied", times=2)
    run = announced.run()
    run.until(lambda: len(run.lines) == 5 and announced.empty(), "the object after the repair", 30)
    assert run.lines == lines("a")
    assert proxy.count("s3.GetObject") == 3


def test_h07_object_gone(announced):
    """An object deleted before it was read is settled, others are collected."""
    announced.put("gone", "here")
    announced.aws.client("s3").delete_object(Bucket=announced.bucket, Key="gone")
    run = announced.run()
    run.until(announced.empty, "an empty queue")
    assert run.lines == lines("here")


@pytest.mark.parametrize("beside", [(), ("other",)])
def test_a6_notice_before_its_object_takes_nothing_away(announced, beside):
    """A notice that comes before there is such an object, its etag right, leaves the true one to be read."""
    announced.put(*beside)
    late = packed("late")
    etag = hashlib.md5(late, usedforsecurity=False).hexdigest()
    named = [(name, "none" if name == "other" else etag) for name in ("late", *beside)]
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "awsRegion": "us-east-1",
            "s3": {"bucket": {"name": announced.bucket}, "object": {"key": key, "eTag": told}},
        }
        for key, told in named
    ]
    run = announced.run()
    run.until(lambda: len(run.lines) == 5 * len(beside) and announced.empty(), "what is there")
    for _ in range(2):
        announced.aws.send(announced.queue, json.dumps({"Records": records}))
    run.until(announced.empty, "the false notices", 40)
    announced.aws.put(announced.bucket, "late", late)
    run.until(lambda: len(run.lines) == 5 + 5 * len(beside) and announced.empty(), "the true one", 40)
    assert Counter(run.lines) == Counter(line for name in ("late", *beside) for line in lines(name))


def test_h07_bucket_of_another_region_is_asked_there(site, unique):
    """The record's region is where the object is asked for, also when the queue is elsewhere."""
    queue = site.aws.queue(unique("queue"), region="eu-west-1")
    bucket = site.aws.bucket(unique("bucket"), region="eu-west-1")
    notify = site.aws.client("s3", "eu-west-1").put_bucket_notification_configuration
    target = {"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}
    notify(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]})
    site.aws.put(bucket, "a", packed("a"), region="eu-west-1")
    for body in received(site.aws, queue, 1):
        site.aws.send(site.queue, body)
    run = site.run()
    run.until(lambda: run.lines == lines("a"), "the object of another region")
    assert ("s3", "eu-west-1") in site._clients
    assert ("s3", "us-east-1") not in site._clients


def test_h22_drain_leaves_nothing_in_flight(announced):
    """After a drain each message is deleted or visible again, and what was emitted comes no more."""
    announced.put(*(f"k{number}" for number in range(80)))
    run = announced.run()
    run.until(lambda: len(run.lines) >= 50, "some events")
    announced.drain.set()
    run.until(lambda: not run.lanes, "the end of all lanes")
    depth = announced.aws.depth(announced.queue)
    assert depth.in_flight == 0
    announced.drain.clear()
    second = announced.run(states=run.states)
    second.until(lambda: announced.empty() and len(run.lines + second.lines) >= 400, "the rest")
    assert set(Counter(run.lines + second.lines).values()) == {1}


def test_h22_kill_loses_nothing(announced):
    """Lanes dropped at any point: what was not receipted comes again, nothing is missing."""
    announced.put(*(f"k{number}" for number in range(40)))
    options = replace(OPTIONS, visibility_timeout_seconds=2)
    first = announced.run(options=options)
    first.until(lambda: len(first.lines) >= 60, "some events")
    states, receipted = dict(first.states), set(first.lines)
    first.lanes.clear()
    second = announced.run(options=options, states=states)
    second.until(lambda: announced.empty() and len(receipted | set(second.lines)) == 200, "all of it", 30)
