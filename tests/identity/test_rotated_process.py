"""A whole collector of a queue and its objects, whose machine gets keys late and other keys in the middle."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from sources.aws.renewal import MIN_INTERVAL_SECONDS
from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.ministack import REGION, Ministack
from tests.fakes.process import wait_until

ACCOUNT, TRAIL, QUEUE = "000000000000", "cloud.aws.cloudtrail.events", "rotated"


class Keys:
    """A user's keys in a shared credentials file."""

    def __init__(self, aws: Ministack, file: Path) -> None:
        self.iam, self.file, self.key = aws.client("iam"), file, ""
        self.iam.create_user(UserName="machine")
        statement = {"Effect": "Allow", "Action": ["sqs:*", "s3:GetObject*", "sts:*"], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_user_policy(UserName="machine", PolicyName="p", PolicyDocument=document)

    def write(self) -> None:
        """Give the machine other keys; those of before are deleted."""
        made = self.iam.create_access_key(UserName="machine")["AccessKey"]
        new = self.file.with_suffix(".new")
        secret = made["SecretAccessKey"]
        new.write_text(
            f"[default]\naws_access_key_id = {made['AccessKeyId']}\naws_secret_access_key = {secret}\n"
        )
        new.replace(self.file)
        if self.key:
            self.iam.delete_access_key(UserName="machine", AccessKeyId=self.key)
        self.key = made["AccessKeyId"]


def put(aws: Ministack, numbers: range) -> Counter:
    due: Counter = Counter()
    for number in numbers:
        record = json.dumps(
            {"eventName": "Op", "eventSource": "s3.amazonaws.com", "eventID": f"{number}"},
            separators=(",", ":"),
        )
        key = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/01/02/{number}.json"
        aws.put(QUEUE, key, f'{{"Records":[{record}]}}'.encode())
        due[TRAIL, record.encode()] += 1
    return due


def arrive(receiver, due: Counter) -> None:
    wait_until(lambda: receiver.size() >= due.total(), 100, f"{due.total()} events", 0.2)


@pytest.mark.timeout(300)
def test_r22_keys_that_come_late_and_change(rsyslog, certs, tmp_path, figures):
    """Keys that are written late, and replaced twice, cost no event of a queue and no restart."""
    with Ministack(auth=True) as aws:
        aws.announce_by_sqs(aws.bucket(QUEUE), aws.queue(QUEUE))
        keys = Keys(aws, tmp_path / "credentials")
        settings = configuration({}, output(rsyslog.port, certs), tmp_path, debug=False)
        service = {"regions": [REGION], "types": ["audits_s3"], "queue_name": QUEUE}
        settings["inputs"] = {"prod": {"id": "1", "services": {"audit-events-all": service}}}
        collector = Collector(aws, tmp_path / "collector", settings, Launch("flows"))
        collector.environment = {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_SHARED_CREDENTIALS_FILE": str(keys.file),
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
        }
        due = put(aws, range(20))
        try:
            collector.start()
            log = collector.children[0].log
            wait_until(lambda: "identity_failed" in log.read_text(), 90, "its absence is told", 0.2)
            for number in range(1, 4):
                time.sleep(MIN_INTERVAL_SECONDS)  # keys are fetched anew no more often
                keys.write()
                arrive(rsyslog, due)
                due += put(aws, range(20 * number, 20 * number + 20))
            arrive(rsyslog, due)
            collector.drain()
        finally:
            collector.kill()
        told = [line.split()[2] for line in log.read_text().splitlines() if " identity_" in line]
    figures(f"keys late and replaced twice: {due.total()} events, {', '.join(told)}")
    assert Counter(rsyslog.events()) == due
    assert told[:2] == ["identity_failed", "identity_recovered"]
    assert set(told[2:]) <= {"identity_renewed"}
