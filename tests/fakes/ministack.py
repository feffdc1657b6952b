"""An embedded AWS for tests: ministack as a process of its own, bound to loopback."""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import boto3
from botocore.config import Config

from tests.fakes.certs import Certs
from tests.fakes.process import HOST, Child, free_port

REGION = "us-east-1"
ACCOUNT = "000000000000"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Queue:
    """An SQS queue. redrive: the dead letter queue's ARN and how many receives it takes."""

    name: str
    url: str
    arn: str
    region: str


class Depth(NamedTuple):
    """How many messages a queue holds."""

    visible: int
    in_flight: int


class Ministack:
    """`with Ministack() as aws:` starts one; `aws.url` is for `AWS_ENDPOINT_URL`.

    auth: enforce signatures, tokens and IAM policies. certs: serve HTTPS with the server's certificate.
    """

    def __init__(self, *, auth: bool = False, certs: Certs | None = None) -> None:
        self.auth, self.certs = auth, certs
        self.url = ""
        self.folder = Path()
        self.child: Child | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="ministack-"))
        for attempt in range(_ATTEMPTS):
            port = free_port()
            self.child = Child(
                [sys.executable, "-m", "ministack"], self.folder / "log", self._environment(port)
            )
            try:
                self.child.await_port(port)
            except AssertionError:  # another process may have taken the port meanwhile
                self.child.kill()
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                self.url = f"http{'s' if self.certs else ''}://{HOST}:{port}"
                break
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self.child:
            self.child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admit(self, config: Path) -> None:
        """Let a configuration's identities do what they need: here everybody may do everything."""

    def _environment(self, port: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        fixed = {
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": HOST,
            "IOT_MTLS_ENABLED": "0",
            "TMPDIR": str(self.folder),
        }
        if self.certs:
            fixed |= {
                "USE_SSL": "1",
                "MINISTACK_SSL_CERT": str(self.certs.server_cert),
                "MINISTACK_SSL_KEY": str(self.certs.server_key),
            }
        return kept | fixed | ({"AUTH": "true"} if self.auth else {})

    def environment(self) -> dict[str, str]:
        """Return the variables that point a process's AWS clients here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a cached boto3 client of this AWS."""
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                verify=str(self.certs.ca) if self.certs else None,
                config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
            )
        return self._clients[service, region]

    def queue(
        self,
        name: str,
        *,
        fifo: bool = False,
        visibility: int = 30,
        redrive: tuple[Queue, int] | None = None,
        region: str = REGION,
    ) -> Queue:
        """Make a queue. visibility: seconds. redrive: dead letter queue and receives before it."""
        attributes = {"VisibilityTimeout": str(visibility)}
        if fifo:
            name = name if name.endswith(".fifo") else f"{name}.fifo"
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        if redrive:
            policy = {"deadLetterTargetArn": redrive[0].arn, "maxReceiveCount": str(redrive[1])}
            attributes["RedrivePolicy"] = json.dumps(policy)
        sqs = self.client("sqs", region)
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Queue(name, url, found["Attributes"]["QueueArn"], region)

    def depth(self, queue: Queue) -> Depth:
        """Return how many messages are visible and in flight (delayed ones count as visible)."""
        found = self.client("sqs", queue.region).get_queue_attributes(
            QueueUrl=queue.url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
        visible = int(found["ApproximateNumberOfMessages"]) + int(
            found.get("ApproximateNumberOfMessagesDelayed", 0)
        )
        return Depth(visible, int(found["ApproximateNumberOfMessagesNotVisible"]))

    def send(self, queue: Queue, body: str, **more: Any) -> None:
        """Put one message by hand."""
        if queue.name.endswith(".fifo"):
            more = {"MessageGroupId": "test", **more}
        self.client("sqs", queue.region).send_message(QueueUrl=queue.url, MessageBody=body, **more)

    def bucket(self, name: str, region: str = REGION) -> str:
        """Make a bucket and return its name."""
        place = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.client("s3", region).create_bucket(Bucket=name, **place)
        return name

    def put(self, bucket: str, key: str, body: bytes, region: str = REGION) -> None:
        """Put an object; its notifications are fired by that."""
        self.client("s3", region).put_object(Bucket=bucket, Key=key, Body=body)

    def keep_versions(self, bucket: str, region: str = REGION) -> None:
        """Let a bucket keep versions from now on: its notices tell them."""
        self.client("s3", region).put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    def announce_by_sqs(self, bucket: str, queue: Queue) -> None:
        """Let new objects of a bucket be announced straight in a queue."""
        self._allow(queue, "s3.amazonaws.com")
        self._notify(
            bucket,
            queue.region,
            QueueConfigurations=[{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}],
        )

    def announce_by_sns(self, bucket: str, queue: Queue, *, raw: bool = False) -> None:
        """Let new objects be announced through a topic. raw: without SNS's envelope."""
        sns = self.client("sns", queue.region)
        topic = sns.create_topic(Name=f"{bucket}-topic")["TopicArn"]
        subscribed = sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=queue.arn,
            Attributes={"RawMessageDelivery": "true"} if raw else {},
        )
        assert subscribed["SubscriptionArn"]
        self._allow(queue, "sns.amazonaws.com")
        self._notify(
            bucket, queue.region, TopicConfigurations=[{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
        )

    def announce_by_eventbridge(self, bucket: str, queue: Queue) -> None:
        """Let new objects be announced as EventBridge events."""
        events = self.client("events", queue.region)
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [bucket]}},
        }
        events.put_rule(Name=f"{bucket}-rule", EventPattern=json.dumps(pattern))
        events.put_targets(Rule=f"{bucket}-rule", Targets=[{"Id": "queue", "Arn": queue.arn}])
        self._allow(queue, "events.amazonaws.com")
        self._notify(bucket, queue.region, EventBridgeConfiguration={})

    def _notify(self, bucket: str, region: str, **configuration: Any) -> None:
        self.client("s3", region).put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=configuration
        )

    def _allow(self, queue: Queue, service: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": queue.arn,
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.client("sqs", queue.region).set_queue_attributes(
            QueueUrl=queue.url, Attributes={"Policy": json.dumps(policy)}
        )
