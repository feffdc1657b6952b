"""`python -m flows demo`: sample objects go into an embedded S3 and come out at an embedded Devo.

The collector runs as it would in production: a process of its own, `python -m flows run`, with mutual TLS,
real queues and notifications, and a recovery directory.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.demo.embedded import KEYS, REGION, EmbeddedAws, embedded_aws
from flows.demo.receiver import Certificates, Receiver, make_certificates
from flows.demo.samples import Event, Sample, events, objects
from flows.demo.show import show, summary

QUEUES = {
    "audits_s3": "demo-cloudtrail",
    "flowlogs": "demo-vpcflow",
    "cloudfrontlogs": "demo-cloudfront",
    "cisco-umbrella": "demo-umbrella",
}
EVENTS, FINDINGS = "demo-events.fifo", "demo-findings.fifo"
EVENT_QUEUES = (EVENTS, FINDINGS)
_POLL_SECONDS = 0.25
_DRAIN_SECONDS = 40.0


def demo(per_type: int, timeout: float) -> int:
    """Run the demo; 0 when everything put in has arrived and every queue is empty."""
    samples, sent = list(objects(per_type)), list(events(per_type))
    expected = sum((one.events for one in samples), Counter[str]())
    expected += sum((one.events for one in sent), Counter[str]())
    with tempfile.TemporaryDirectory(prefix="devo-aws-demo-") as name:
        folder = Path(name)
        with embedded_aws(folder / "aws.log") as aws:
            return _run(folder, aws, Input(samples, sent), expected, timeout)


@dataclass(frozen=True, slots=True)
class Input:
    """What is put into the embedded AWS."""

    samples: list[Sample]
    sent: list[Event]

    def put(self, aws: EmbeddedAws) -> None:
        """Put objects into S3 and events into their queues."""
        for sample in self.samples:
            aws.client("s3").put_object(Bucket=QUEUES[sample.service], Key=sample.key, Body=sample.body)
        for one in self.sent:
            aws.send(FINDINGS if one.source == "aws.securityhub" else EVENTS, one.envelope())


def _run(folder: Path, aws: EmbeddedAws, put: Input, expected: Counter[str], timeout: float) -> int:
    certificates = make_certificates(folder / "certs")
    receiver = Receiver(certificates)
    for queue in QUEUES.values():
        aws.announced_bucket(queue, queue)
    for queue in EVENT_QUEUES:
        aws.event_queue(queue)
    settings = folder / "config.yaml"
    settings.write_text(yaml.safe_dump(configuration(receiver.port, certificates), sort_keys=False))
    collector = _start(settings, aws, folder / "collector.log")
    try:
        put.put(aws)
        complete = _watch(receiver, aws, expected, collector, timeout)
    finally:
        code = _stop(collector)
    receiver.close()
    arrived = receiver.counts()
    summary(expected, arrived)
    if complete and code == 0 and arrived == expected:
        return 0
    sys.stderr.write((folder / "collector.log").read_text()[-4000:])
    sys.stderr.write(f"demo incomplete: collector exit code {code}: its last log lines are above\n")
    return 1


def configuration(port: int, certificates: Certificates) -> dict[str, object]:
    """Return the demo's configuration, in Devo's own shape."""
    common = {"regions": [REGION], "auto_event_type": True}
    output = {
        "address": "127.0.0.1",
        "port": port,
        "type": "SSL",
        "chain": str(certificates.chain),
        "cert": str(certificates.cert),
        "key": str(certificates.key),
    }
    return {
        "globals": {
            "name": "demo",
            "persistence": {"type": "filesystem", "config": {"directory_name": "state"}},
        },
        "outputs": {"devo": {"type": "devo_platform", "config": output}},
        "inputs": {
            "aws": {
                "id": "10001",
                "enabled": True,
                "credentials": dict(KEYS),
                "services": {
                    "audit-events-all": {
                        **common,
                        "types": ["audits_s3"],
                        "audit_sqs_queue_name": QUEUES["audits_s3"],
                    },
                    "non-cloudwatch-logs": {
                        **common,
                        "types": ["flowlogs", "cloudfrontlogs"],
                        "vpcflowlogs_sqs_queue_name": QUEUES["flowlogs"],
                        "cloudfrontlogs_sqs_queue_name": QUEUES["cloudfrontlogs"],
                    },
                    "service-events-all": {**common, "cloudwatch_sqs_queue_name": EVENTS},
                    "sqs-cloudwatch-consumer": {
                        "regions": [REGION],
                        "cloudwatch_sqs_queue_name": FINDINGS,
                    },
                    "cisco-umbrella": {
                        "regions": [REGION],
                        "cisco_umbrella_sqs_queue_name": QUEUES["cisco-umbrella"],
                    },
                },
            }
        },
    }


def _start(settings: Path, aws: EmbeddedAws, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - fixed command line
            [sys.executable, "-m", "flows", "run", "--config", str(settings), "--interval", "1"],
            env={**os.environ, "AWS_ENDPOINT_URL": aws.url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _watch(
    receiver: Receiver,
    aws: EmbeddedAws,
    expected: Counter[str],
    collector: "subprocess.Popen[bytes]",
    timeout: float,
) -> bool:
    deadline = time.monotonic() + timeout
    with show(expected) as update:
        while time.monotonic() < deadline and collector.poll() is None:
            arrived = receiver.counts()
            waiting = sum(aws.waiting(queue) for queue in (*QUEUES.values(), *EVENT_QUEUES))
            update(arrived, waiting)
            if arrived.total() >= expected.total() and not waiting:
                return True
            time.sleep(_POLL_SECONDS)
    return False


def _stop(collector: "subprocess.Popen[bytes]") -> int:
    if collector.poll() is None:
        collector.send_signal(signal.SIGTERM)
    try:
        return collector.wait(_DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        collector.kill()
        return collector.wait()
