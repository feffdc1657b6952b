"""An embedded AWS for the demo: ministack as a process of its own, bound to loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import orjson
from botocore.config import Config

from transforms.errors import CollectorError

_START_SECONDS = 20.0
REGION = "us-east-1"
KEYS = {"access_key": "demo", "access_secret": "demo"}


class EmbeddedAws:
    """A running ministack at `url`, with the few calls that the demo's set-up needs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a boto3 client of the embedded AWS (the demo's own; the collector makes its own)."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=KEYS["access_key"],
                aws_secret_access_key=KEYS["access_secret"],
                config=Config(retries={"mode": "standard", "total_max_attempts": 5}),
            )
        return self._clients[service]

    def announced_bucket(self, bucket: str, queue: str) -> None:
        """Make a bucket whose new objects are announced in a new queue."""
        sqs, s3 = self.client("sqs"), self.client("s3")
        url = sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": orjson.dumps(policy).decode()})
        s3.create_bucket(Bucket=bucket)
        announce = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=announce)

    def event_queue(self, queue: str) -> None:
        """Make a FIFO queue for EventBridge's events."""
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        self.client("sqs").create_queue(QueueName=queue, Attributes=attributes)

    def send(self, queue: str, body: str) -> None:
        """Send one message, as an EventBridge rule would: nobody may put events of `aws.*` on a bus."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="demo")

    def waiting(self, queue: str) -> int:
        """Return how many messages a queue holds, in flight or not."""
        sqs = self.client("sqs")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@contextmanager
def embedded_aws(log: Path) -> Iterator[EmbeddedAws]:
    """Start ministack on a free loopback port, its output in `log`; it ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env={**os.environ, **settings, "IOT_MTLS_ENABLED": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_port(port, process, log)
        yield EmbeddedAws(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise CollectorError("embedded AWS did not start", str(log), "install the extra: pip install '.[demo]'")
