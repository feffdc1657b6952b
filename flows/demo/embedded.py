"""An embedded AWS for the demo, bound to loopback: ministack in a process of its own, and what that lacks.

boto3 is led to each by its own settings, an endpoint per service, as it could be in production.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import orjson
from botocore.config import Config

from flows.demo.apis import DemoApis
from flows.demo.sample_audits import ACCOUNT, REGION
from flows.demo.wire import serving
from flows.process.supervisor import free_ports
from sources.aws.signed.hosts import VARIABLE
from transforms.errors import CollectorError

_START_SECONDS = 60.0
KEYS = {"access_key": ACCOUNT, "access_secret": "demo"}
"""ministack takes a key of twelve digits for the account's own."""

_APIS = ("AWS_ENDPOINT_URL_CLOUDTRAIL", "AWS_ENDPOINT_URL_GUARDDUTY")
"""botocore's variables for the endpoints of the services that `apis` serves."""

EXTRA = "install what the demo needs, in the collector's folder: pip install -r requirements/demo.txt"
_OURS = ("AWS_", "BYTEWAX_", "COLLECTOR_")


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that leads nowhere but to this machine: no profile, endpoint or proxy.

    That boto3 shall make every call stays.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_OURS) or name == VARIABLE}
    proxies = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return {**kept, **proxies, **files, "AWS_EC2_METADATA_DISABLED": "true"}


class EmbeddedAws:
    """A running ministack at `url` and what it lacks at `apis`, with the few calls that the demo needs.

    told: what is told at `apis`.
    """

    def __init__(self, url: str, apis: str, told: DemoApis | None = None) -> None:
        self.url, self.apis, self.keys = url, apis, dict(KEYS)
        self.told = told or DemoApis()
        self._clients: dict[str, Any] = {}

    def environment(self) -> dict[str, str]:
        """Return the variables that point a process's AWS clients here."""
        return {"AWS_ENDPOINT_URL": self.url, **dict.fromkeys(_APIS, self.apis)}

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

    def admit(self, settings: Path) -> None:
        """Let the collector of a configuration do its work: here everybody may do everything."""

    def objection(self, _log: str) -> str:
        """Return what was not as it should be besides what arrived, "" when nothing. log: the collector's."""
        return ""

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
def embedded_aws(folder: Path, *, auth: bool = False) -> Iterator[EmbeddedAws]:
    """Start it, the log of ministack in `folder`; it ends with the block. auth: check signatures."""
    (port,) = free_ports(1)
    bound = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1"}
    bound |= {"AUTH": "true"} if auth else {}
    log, told = folder / "ministack.log", DemoApis()
    environment = {**os.environ, **bound, "IOT_MTLS_ENABLED": "0"}
    with _process(["ministack"], log, environment) as process, serving(told.answer) as apis:
        _await_port(port, process, log)
        yield EmbeddedAws(f"http://127.0.0.1:{port}", apis, told)


def module(*command: str) -> list[str]:
    """Return the command line that runs a Python module; where the kernel can, it ends with this process."""
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    return [*guard, sys.executable, "-m", *command]


@contextmanager
def _process(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a Python module until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - fixed command lines
            module(*command),
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
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
    said = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise CollectorError(f"embedded AWS did not start ({said})", log.stem, EXTRA)
