"""Inputs that AWS refuses, each for its own reason, beside one that works: a line each, all else goes on."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.ministack import REGION, Ministack, Queue
from tests.fakes.process import wait_until

ACCOUNT = "000000000000"
OTHER_REGION = "eu-west-1"
BASE, TARGET = f"arn:aws:iam::{ACCOUNT}:role/base", f"arn:aws:iam::{ACCOUNT}:role/target"
EVENTS, FINDINGS = "cloud.aws.cloudwatch.events", "cloud.aws.securityhub.findings"
LOGS, TRAIL = "cloud.aws.cloudwatch.logs", "cloud.aws.cloudtrail.events"
GROUPS, EACH = 6, 20
_TIMEOUT = 60.0


def policy(effect: str, *actions: str, **more: object) -> dict:
    return {"Effect": effect, "Action": list(actions), **(more or {"Resource": "*"})}


def document(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass
class Cloud:
    """An AWS that checks everything; users by name with their keys, and the events that were put."""

    aws: Ministack
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    due: Counter = field(default_factory=Counter)

    def user(self, name: str, *statements: dict) -> None:
        iam = self.aws.client("iam")
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
        self.keys[name] = {"access_key": made["AccessKeyId"], "access_secret": made["SecretAccessKey"]}

    def role(self, name: str, principal: str, **condition: object) -> None:
        trust = policy("Allow", "sts:AssumeRole", Principal={"AWS": principal}, **condition)
        self.aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
        allowed = document(policy("Allow", "*"))
        self.aws.client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allowed)

    def events(self, name: str) -> str:
        """Make a queue with events of EventBridge; return its name."""
        queue = self.aws.queue(name)
        for number in range(EACH):
            body = {"source": "aws.ec2", "detail-type": "x", "detail": {"number": number, "queue": name}}
            self._send(queue, EVENTS, body, json.dumps(body, separators=(",", ":")))
        return name

    def findings(self, name: str) -> str:
        """Make a queue with findings of Security Hub, one a message; return its name."""
        queue = self.aws.queue(name)
        for number in range(EACH):
            finding = {"SchemaVersion": "2018-10-08", "Id": f"{name}-{number}"}
            body = {"source": "aws.securityhub", "detail": {"findings": [finding]}}
            self._send(queue, FINDINGS, body, json.dumps(finding, separators=(",", ":")))
        return name

    def _send(self, queue: Queue, tag: str, body: dict, event: str) -> None:
        self.aws.send(queue, json.dumps(body, separators=(",", ":")))
        self.due[tag, event.encode()] += 1

    def trail(self, name: str, *, readable: bool) -> str:
        """Make a bucket of CloudTrail objects announced in a queue; return the queue's name."""
        queue = self.aws.queue(name)
        self.aws.announce_by_sqs(self.aws.bucket(name), queue)
        for number in range(EACH):
            record = json.dumps(
                {"eventName": "Op", "eventSource": "s3.amazonaws.com", "eventID": f"{name}-{number}"},
                separators=(",", ":"),
            )
            key = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/01/02/{number}.json"
            self.aws.put(name, key, f'{{"Records":[{record}]}}'.encode())
            if readable:
                self.due[TRAIL, record.encode()] += 1
        return name

    def log_groups(self, now: int) -> None:
        """Make log groups with lines of some minutes ago."""
        logs = self.aws.client("logs")
        for number in range(GROUPS):
            place = {"logGroupName": f"/app/{number}", "logStreamName": "s"}
            logs.create_log_group(logGroupName=place["logGroupName"])
            logs.create_log_stream(**place)
            lines = [{"timestamp": now - 600_000 + n, "message": f"{number}-{n}"} for n in range(EACH)]
            logs.put_log_events(**place, logEvents=lines)
            self.due.update((LOGS, line["message"].encode()) for line in lines)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Ministack(auth=True) as aws:
        made = Cloud(aws)
        made.user("machine", policy("Allow", "sts:*"))
        made.role("base", f"arn:aws:iam::{ACCOUNT}:user/machine")
        external = {"StringEquals": {"sts:ExternalId": "the-right-id"}}
        made.role("target", BASE, Condition=external)
        reads = policy("Allow", "sqs:*", "s3:GetObject", "logs:*")
        made.user("good", reads)
        made.user("keyless", reads)
        made.user("logless", reads, policy("Deny", "logs:FilterLogEvents"))
        made.user("objectless", policy("Allow", "sqs:*"))
        yield made


def inputs(cloud: Cloud, start: str) -> dict[str, dict]:
    """Return the inputs: one that works, and four of which AWS refuses something."""
    polled = {"start_time": start, "request_period_in_seconds": 1, "requests_per_second": 1000}
    here, both = {"regions": [REGION]}, {"regions": [REGION, OTHER_REGION]}
    logs = {"types": ["logs"], "log_group": "/", **polled}
    everything = {
        "service-events-all": {**both, "cloudwatch_sqs_queue_name": "nobodys"},
        "sqs-cloudwatch-consumer": {**both, "cloudwatch_sqs_queue_name": "nobodys"},
        "audit-events-all": {**both, **polled, "types": ["audits_api", "audits_s3"], "queue_name": "nobodys"},
        "metrics-all": {**both, **polled},
        "aws-guardduty": {**both, **polled},
        "my-logs": {**both, **logs},
    }
    chain = {"base_assume_role": BASE, "target_assume_role": TARGET, "assume_role_external_id": "a-wrong-id"}
    services = {
        "good": {
            "service-events-all": {**here, "cloudwatch_sqs_queue_name": cloud.events("good-events")},
            "sqs-cloudwatch-consumer": {**here, "cloudwatch_sqs_queue_name": cloud.findings("good-findings")},
            "audit-events-all": {
                **here,
                "types": ["audits_s3"],
                "queue_name": cloud.trail("good-trail", readable=True),
            },
            "my-logs": {**here, **logs},
        },
        "wrong-id": everything,
        "wrong-key": everything,
        "denied-api": {
            "service-events-all": {**here, "cloudwatch_sqs_queue_name": cloud.events("other-events")},
            "my-logs": {**here, **logs},
        },
        "denied-object": {
            "sqs-cloudwatch-consumer": {
                **here,
                "cloudwatch_sqs_queue_name": cloud.findings("other-findings"),
            },
            "audit-events-all": {
                **here,
                "types": ["audits_s3"],
                "queue_name": cloud.trail("other-trail", readable=False),
            },
        },
    }
    credentials = {
        "good": cloud.keys["good"],
        "wrong-id": chain,
        "wrong-key": {**cloud.keys["keyless"], "access_secret": "wrong"},
        "denied-api": cloud.keys["logless"],
        "denied-object": cloud.keys["objectless"],
    }
    return {
        name: {"id": name, "credentials": credentials[name], "services": services[name]} for name in services
    }


LINES = {
    "wrong-id": (
        r"role cannot be assumed \(AssumeRole failed with AccessDenied .*\): "
        rf"input wrong-id, credentials\.target_assume_role {TARGET}: "
        r"see that it exists, that arn:aws:sts::\d+:assumed-role/base/\S+ may sts:AssumeRole it, "
        r"and that its trust policy allows this principal with this assume_role_external_id"
    ),
    "wrong-key": (
        r"\w+ failed with (InvalidSignatureException|SignatureDoesNotMatch) .*: "
        r"input wrong-key, credentials: check inputs.<name>.credentials and the clock of this machine"
    ),
    "denied-api": (
        r"FilterLogEvents failed with AccessDenied.*: \w+ of us-east-1//app/\d, input denied-api: "
        rf"lift the explicit deny of logs:FilterLogEvents for arn:aws:iam::{ACCOUNT}:user/logless in the "
        r"identity-based policy; allowing it once more does not help"
    ),
    "denied-object": (
        r"GetObject failed with AccessDenied .*: s3://other-trail/AWSLogs/\S+ \(input denied-object\): "
        rf"allow s3:GetObject for arn:aws:iam::{ACCOUNT}:user/objectless on s3://other-trail/\S+"
    ),
}
"""The one line of each input that AWS refuses: what, where, hint."""


@pytest.mark.timeout(400)
def test_each_refusal_is_one_line_and_all_else_goes_on(cloud, rsyslog, certs, tmp_path, figures):
    """A wrong external id, a wrong key, two denied actions: a line each, however many units they stop."""
    now = int(time.time() * 1000)
    cloud.log_groups(now)
    start = datetime.fromtimestamp(now // 1000 - 3600, UTC).isoformat()
    settings = configuration({}, output(rsyslog.port, certs), tmp_path, debug=True)
    settings["inputs"] = inputs(cloud, start)
    collector = Collector(cloud.aws, tmp_path / "collector", settings, Launch("flows"))
    machine = cloud.keys["machine"]
    collector.environment = {
        "AWS_ACCESS_KEY_ID": machine["access_key"],
        "AWS_SECRET_ACCESS_KEY": machine["access_secret"],
        "AWS_DEFAULT_REGION": REGION,
    }
    try:
        collector.start()
        wait_until(lambda: complete(cloud, rsyslog) or not collector.alive, _TIMEOUT, "what can be had")
        wait_until(lambda: all_refused(collector) or not collector.alive, _TIMEOUT, "each unit's refusal")
        collector.drain()
    finally:
        collector.kill()
    log = collector.children[0].log.read_text()
    told = [line for line in log.splitlines() if re.search(r" (WARNING|ERROR) ", line)]
    # On a slow machine its queue has time to say that it rests, because of the line before.
    # What a cause is held to says so too, beside the refusal that is the cause.
    told = [line for line in told if not re.search("source_backing_off|cause_failing", line)]
    figures("\n".join(told) + f"\n{stopped(log)}; {cloud.due.total()} events delivered")
    assert arrived(rsyslog) == cloud.due
    for name, pattern in LINES.items():
        (line,) = [line for line in told if f"input {name}" in line]
        assert re.search(f"error={pattern}", line)
    assert len(told) == len(LINES)
    assert not re.search(r"a-wrong-id|the-right-id|" + machine["access_secret"], log)


def arrived(receiver) -> Counter:
    """Return the events by tag; of log events only the message, the rest is told elsewhere."""
    found: Counter = Counter()
    for (tag, text), times in receiver.events().items():
        found[tag, json.loads(text)["message"].encode() if tag == LOGS else text] += times
    return found


def complete(cloud: Cloud, receiver) -> bool:
    if receiver.size() < cloud.due.total():
        return False
    try:
        return not cloud.due - arrived(receiver)
    except ValueError:  # the last line is torn for a moment
        return False


REFUSED = {"wrong-id": 14, "wrong-key": 14, "denied-api": GROUPS, "denied-object": EACH}
"""How many failures of each input there are at the least: units, groups, objects."""


def stopped(log: str) -> dict[str, int]:
    """Return how many failures of each input the log holds, debug lines included."""
    failed = re.findall(r"(?:poll|receive|fetch)_failed .*?\binput ([\w-]+)", log)
    return dict(Counter(failed))


def all_refused(collector: Collector) -> bool:
    found = stopped(collector.children[0].log.read_text())
    return all(found.get(name, 0) >= least for name, least in REFUSED.items())
