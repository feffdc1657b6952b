"""The embedded AWS announces objects as AWS does; otherwise no test upon it means anything."""

import json
import time

import pytest

from tests.fakes.ministack import Depth
from tests.fakes.process import wait_until

KEY = "AWSLogs/1/a folder/día=1+1.gz"


def received(aws, queue):
    sqs = aws.client("sqs", queue.region)
    found = []

    def one():
        taken = sqs.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1).get("Messages", [])
        found.extend(message["Body"] for message in taken if "s3:TestEvent" not in message["Body"])
        return found

    wait_until(one, 10, "a notification")
    return json.loads(found[0])


def test_object_is_announced_in_a_queue(aws, unique):
    """PutObject fires an S3 notification with an URL-encoded key."""
    queue, bucket = aws.queue(unique("q")), aws.bucket(unique("b"))
    aws.announce_by_sqs(bucket, queue)
    aws.put(bucket, KEY, b"x")
    record = received(aws, queue)["Records"][0]
    assert record["s3"]["bucket"]["name"] == bucket
    assert "+" in record["s3"]["object"]["key"]
    assert "%3D1%2B1" in record["s3"]["object"]["key"]


@pytest.mark.parametrize("raw", [False, True])
def test_object_is_announced_through_a_topic(aws, unique, raw):
    """The notification arrives inside SNS's envelope, or bare with raw delivery."""
    queue, bucket = aws.queue(unique("q")), aws.bucket(unique("b"))
    aws.announce_by_sns(bucket, queue, raw=raw)
    aws.put(bucket, KEY, b"x")
    body = received(aws, queue)
    assert ("Message" in body) is not raw
    inner = body if raw else json.loads(body["Message"])
    assert inner["Records"][0]["s3"]["bucket"]["name"] == bucket


def test_object_is_announced_by_eventbridge(aws, unique):
    """EventBridge events carry the key as it is."""
    queue, bucket = aws.queue(unique("q")), aws.bucket(unique("b"))
    aws.announce_by_eventbridge(bucket, queue)
    aws.put(bucket, KEY, b"x")
    assert received(aws, queue)["detail"]["object"]["key"] == KEY


def test_depth_tells_visible_from_in_flight(aws, unique):
    """A received message is in flight until its visibility ends, and then a dead letter."""
    dead = aws.queue(unique("dead"))
    queue = aws.queue(unique("q"), visibility=1, redrive=(dead, 1))
    aws.send(queue, "{}")
    assert aws.depth(queue) == Depth(1, 0)
    sqs = aws.client("sqs")
    assert sqs.receive_message(QueueUrl=queue.url)["Messages"]
    assert aws.depth(queue) == Depth(0, 1)
    time.sleep(1.1)
    sqs.receive_message(QueueUrl=queue.url)
    assert aws.depth(dead) == Depth(1, 0)


def test_queues_of_regions_are_apart(aws, unique):
    """The same name in two regions is two queues; a FIFO queue ends in .fifo."""
    name = unique("q")
    here, there = aws.queue(name, fifo=True), aws.queue(name, fifo=True, region="eu-west-1")
    aws.send(there, "{}")
    assert here.name.endswith(".fifo")
    assert (aws.depth(here).visible, aws.depth(there).visible) == (0, 1)
