"""Accounts, regions, all ten services: what is put into each unit, and who had a turn when.

Every event carries a mark that names its unit and number, so that shares can be counted at the receiver. A
unit is one service in one region of one account. Its turns are its polls, or its receives that brought
something, in the order in which the collector's log tells them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from tests.fakes.fake_aws import server as fake_aws

OBJECTS = ("audits_s3", "flowlogs", "cloudfrontlogs", "cisco-umbrella")
MESSAGES = ("service-events-all", "sqs-cloudwatch-consumer")
QUEUED = (*OBJECTS, *MESSAGES)
POLLED = {
    "audits_api": "cloudtrail.",
    "logs": "logs.",
    "metrics-all": "cloudwatch.",
    "aws-guardduty": "guardduty.",
}
"""Service → how the operations of its API begin."""

_MARK = re.compile(rb"mark/([a-z0-9_-]+)/(\d{12})/([a-z0-9-]+)/(\d+)/")
_POLL = re.compile(r" polled service=(\S+) target=([a-z0-9-]+)\S* account=(\d+) ")
_RECEIVE = re.compile(r" received service=(\S+) where=queue (\d{12})-\S+ in (\S+) ")
_OBJECT = re.compile(r" object_collected service=(\S+) object=s3://(\d{12})-([^/]+)/")
_PERIOD = 60
"""Seconds of a metric's point."""


class Unit(NamedTuple):
    """One service in one region of one account."""

    service: str
    account: str
    region: str

    def mark(self, number: int) -> str:
        return f"mark/{self.service}/{self.account}/{self.region}/{number}/"


def units_of(accounts: Sequence[str], regions: Sequence[str]) -> list[Unit]:
    return [Unit(*one) for one in product((*POLLED, *QUEUED), accounts, regions)]


@dataclass
class World:
    """An AWS of several accounts. queues: URL of what serves SQS and S3; the fake serves the rest.

    start: epoch seconds, a whole minute: of the oldest events. due: how many events each unit was given.
    """

    queues: str
    accounts: Sequence[str]
    regions: Sequence[str]
    start: int
    due: Counter[Unit] = field(default_factory=Counter)
    _detectors: dict[tuple[str, str], str] = field(default_factory=dict)
    _clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    @property
    def units(self) -> list[Unit]:
        return units_of(self.accounts, self.regions)

    def client(self, service: str, account: str, region: str, url: str) -> Any:
        key = (service, account, region)
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=account,
                aws_secret_access_key="secret",
                config=Config(max_pool_connections=8),
            )
        return self._clients[key]

    def fill_queues(self, backlog: int) -> None:
        """Give every unit with a queue that many messages, each with one event."""
        jobs = []
        for unit in (unit for unit in self.units if unit.service in QUEUED):
            sqs = self.client("sqs", unit.account, unit.region, self.queues)
            name = f"{unit.account}-{unit.service.replace('_', '-')}"
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
            if unit.service in OBJECTS:
                jobs += self._objects(unit, f"{name}-{unit.region}", url, backlog)
            else:
                jobs += self._messages(unit, url, backlog)
            self.due[unit] += backlog
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()

    def _objects(self, unit: Unit, bucket: str, url: str, backlog: int) -> Iterator[Any]:
        sqs = self.client("sqs", unit.account, unit.region, self.queues)
        s3 = self.client("s3", unit.account, unit.region, self.queues)
        place = {} if unit.region == "us-east-1" else {"LocationConstraint": unit.region}
        s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        told = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": told}
        )
        for number in range(backlog):
            key, body = _object(unit, number)
            yield partial(s3.put_object, Bucket=bucket, Key=key, Body=body)

    def _messages(self, unit: Unit, url: str, backlog: int) -> Iterator[Any]:
        sqs = self.client("sqs", unit.account, unit.region, self.queues)
        for first in range(0, backlog, 10):
            entries = [
                {"Id": str(n), "MessageBody": _message(unit, n)}
                for n in range(first, min(first + 10, backlog))
            ]
            yield partial(sqs.send_message_batch, QueueUrl=url, Entries=entries)

    def fill_metrics(self, backlog: int) -> None:
        """Give every unit with metrics so many of them, a point each: new ones would be listed late."""
        for number in range(backlog):
            self._fill(["metrics-all"], number, 0)

    def fill_apis(self, number: int, at: float) -> None:
        """Give every unit with another API one more event, of that time (epoch seconds)."""
        self._fill(POLLED.keys() - {"metrics-all"}, number, at)

    def _fill(self, services: Iterable[str], number: int, at: float) -> None:
        for unit in self.units:
            if unit.service in services:
                self._put(unit, number, at)

    def _put(self, unit: Unit, number: int, at: float) -> None:
        mark, place = unit.mark(number), (unit.account, unit.region)
        if unit.service == "audits_api":
            record = json.dumps({"eventName": "Op", "eventID": mark}, separators=(",", ":"))
            event = {"EventName": "Op", "EventTime": at, "CloudTrailEvent": record}
            fake_aws.put_cloudtrail_events([event], *place)
        elif unit.service == "logs":
            fake_aws.put_log_events("/app", "s", [{"timestamp": int(at * 1000), "message": mark}], *place)
        elif unit.service == "aws-guardduty":
            stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            finding = {"Id": f"{number:032x}", "Title": mark, "UpdatedAt": stamp}
            fake_aws.put_findings(self._detectors[place], [finding], *place)
        else:
            sample = {"timestamp": self.start + _PERIOD * (number % 8), "value": 1}
            fake_aws.put_metric_samples("App", mark, [sample], {}, *place)
        self.due[unit] += 1

    def detect(self, url: str) -> None:
        """Make a detector in every region of every account."""
        for place in product(self.accounts, self.regions):
            client = self.client("guardduty", *place, url)
            self._detectors[place] = client.create_detector(Enable=True)["DetectorId"]

    def inputs(self) -> dict[str, Any]:
        """Return the inputs: one an account, each with all ten services in all regions."""
        start = datetime.fromtimestamp(self.start, UTC).isoformat()
        here = {"regions": list(self.regions)}
        polled = {**here, "start_time": start, "request_period_in_seconds": 1}
        patient = {"settle_seconds": 1, "overlap_seconds": 5}
        found = {}
        for account in self.accounts:
            queue = {service: f"{account}-{service.replace('_', '-')}" for service in QUEUED}
            services = {
                "audit-events-all": {
                    **polled,
                    **patient,
                    "types": ["audits_api", "audits_s3"],
                    "audit_sqs_queue_name": queue["audits_s3"],
                },
                "non-cloudwatch-logs": {
                    **here,
                    "types": ["flowlogs", "cloudfrontlogs"],
                    "vpcflowlogs_sqs_queue_name": queue["flowlogs"],
                    "cloudfrontlogs_sqs_queue_name": queue["cloudfrontlogs"],
                },
                "cisco-umbrella": {**here, "queue_name": queue["cisco-umbrella"]},
                "service-events-all": {**here, "queue_name": queue["service-events-all"]},
                "sqs-cloudwatch-consumer": {**here, "queue_name": queue["sqs-cloudwatch-consumer"]},
                "metrics-all": {**polled, "period": _PERIOD, "delay": 0},
                "my-logs": {**polled, **patient, "types": ["logs"], "log_group": "/"},
                "aws-guardduty": {**polled, "overlap_seconds": 5},
            }
            keys = {"access_key": account, "access_secret": "secret"}
            found[f"in-{account}"] = {"id": account, "credentials": keys, "services": services}
        return found


def _object(unit: Unit, number: int) -> tuple[str, bytes]:
    mark = unit.mark(number)
    key, text = {
        "audits_s3": ("AWSLogs/1/CloudTrail/{}.json", '{{"Records":[{{"eventName":"Op","eventID":"{}"}}]}}'),
        "flowlogs": ("AWSLogs/1/vpcflowlogs/{}.log", "version account-id log-status\n2 {} OK\n"),
        "cloudfrontlogs": ("E1.2026-01-02-03.{}.log", "#Version: 1.0\n#Fields: date x\n2026-01-02\t{}\n"),
        "cisco-umbrella": ("dnslogs/2026-01-02/{}.csv", '"2026-01-02 03:04:05","{}"\n'),
    }[unit.service]
    return key.format(number), text.format(mark).encode()


def _message(unit: Unit, number: int) -> str:
    mark = unit.mark(number)
    if unit.service == "service-events-all":
        return json.dumps({"source": "aws.ec2", "detail-type": "x", "detail": mark})
    finding = {"SchemaVersion": "2018-10-08", "Id": mark}
    return json.dumps({"source": "aws.securityhub", "detail": {"findings": [finding]}})


def arrived(events: Mapping[tuple[str, bytes], int]) -> Counter[tuple[Unit, int]]:
    """Return how often each unit's each event has arrived."""
    found: Counter[tuple[Unit, int]] = Counter()
    for (_, text), times in events.items():
        mark = _MARK.search(text)
        if mark:
            service, account, region, number = (part.decode() for part in mark.groups())
            found[Unit(service, account, region), int(number)] += times
    return found


def turns(log: str) -> list[Unit]:
    """Return whose turns the log tells, in their order."""
    found = []
    for line in log.splitlines():
        if poll := _POLL.search(line):
            found.append(Unit(poll[1], poll[3], poll[2]))
        elif receive := _RECEIVE.search(line):
            found.append(Unit(receive[1], receive[2], receive[3]))
    return found


def calls(log: str, served: Iterable[fake_aws.Served]) -> Counter[Unit]:
    """Return how many requests each unit has made: to its API, or receives and objects read."""
    found: Counter[Unit] = Counter(unit for unit in turns(log) if unit.service in QUEUED)
    for service, account, rest in _OBJECT.findall(log):
        found[Unit(service, account, rest.removeprefix(f"{service.replace('_', '-')}-"))] += 1
    prefixes = {prefix: service for service, prefix in POLLED.items()}
    for one in served:
        service = prefixes.get(one.op.partition(".")[0] + ".")
        if service:
            found[Unit(service, one.key, one.region)] += 1
    return found


def longest_waits(order: Sequence[Unit], family: Iterable[str]) -> dict[Unit, int]:
    """Return for each unit of a family the most turns that another one had between two of its own.

    Counted while all of them have something to do: from the last one's first turn to the first one's last.
    """
    members = [unit for unit in order if unit.service in family]
    at = defaultdict(list)
    for place, unit in enumerate(members):
        at[unit].append(place)
    begin, end = max(places[0] for places in at.values()), min(places[-1] for places in at.values())
    return {
        unit: _longest(members, unit, [begin, *(place for place in places if begin < place < end), end])
        for unit, places in at.items()
    }


def _longest(order: Sequence[Unit], unit: Unit, bounds: Sequence[int]) -> int:
    between = (Counter(order[a:b]) for a, b in pairwise(bounds))
    return max((n for found in between for other, n in found.items() if other != unit), default=0)
