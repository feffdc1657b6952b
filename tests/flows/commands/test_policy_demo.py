"""The whole demo under exactly the policy that `policy` prints, in an AWS that enforces policies."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from flows.demo import demo as module
from flows.demo.configuration import configuration
from flows.demo.embedded import EmbeddedAws, embedded_aws, isolated
from flows.demo.receiver import make_certificates
from flows.demo.samples import ACCOUNT
from tests.fakes.iam import IamProxy
from tests.fakes.process import wait_until

SPELT = {
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
"""Action → how ministack calls it for batches, where IAM has one name for both."""

PERSON = "collector"
ARN = f"arn:aws:iam::{ACCOUNT}:user/{PERSON}"


@dataclass
class Stage:
    """The demo's embedded AWS with IAM switched on. without: an action that is taken out of the policy."""

    folder: Path
    without: str = ""
    document: dict = field(default_factory=dict)
    iam: IamProxy | None = None

    def printed(self) -> dict:
        """Return what the command prints for the demo's configuration, less `without`."""
        config = self.folder / "printed.yaml"
        certificates = make_certificates(self.folder / "printed")
        config.write_text(yaml.safe_dump(configuration(1, certificates, 1_800_000_000)))
        command = [sys.executable, "-m", "flows", "policy", "--no-check", "--account", ACCOUNT]
        done = subprocess.run([*command, "--config", str(config)], capture_output=True, check=True)
        document = json.loads(done.stdout)
        for statement in document["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action != self.without]
        document["Statement"] = [one for one in document["Statement"] if one["Action"]]
        return document

    def spelt(self) -> str:
        """Return the printed policy as ministack understands it."""
        statements = [
            {**one, "Action": [*one["Action"], *(SPELT[name] for name in one["Action"] if name in SPELT)]}
            for one in self.document["Statement"]
        ]
        return json.dumps({**self.document, "Statement": statements})

    @contextmanager
    def embedded(self, folder):
        """Start the demo's AWS with enforcement; the demo has the root key, the collector its own."""
        self.document = self.printed()
        os.environ["AUTH"] = "true"
        try:
            starting = embedded_aws(folder)
            aws = starting.__enter__()
        finally:
            del os.environ["AUTH"]
        try:
            client = aws.client("iam")
            client.create_user(UserName=PERSON)
            self.keys = client.create_access_key(UserName=PERSON)["AccessKey"]
            client.put_user_policy(UserName=PERSON, PolicyName="printed", PolicyDocument=self.spelt())
            with IamProxy(aws.apis, ARN, self.document) as self.iam:
                yield Enforced(aws, self.iam.url)
        finally:
            starting.__exit__(None, None, None)

    def configuration(self, *about):
        """Return the demo's configuration with the keys of the person."""
        made = configuration(*about)
        keys = {"access_key": self.keys["AccessKeyId"], "access_secret": self.keys["SecretAccessKey"]}
        made["inputs"]["aws"]["credentials"] = keys
        return made


class Enforced(EmbeddedAws):
    """The embedded AWS; the collector's clients of APIs are led to the one that judges."""

    def __init__(self, aws, judged):
        super().__init__(aws.url, aws.apis)
        self.judged = judged

    def environment(self):
        return {name: self.judged if url == self.apis else url for name, url in super().environment().items()}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Return a stage on which the demo plays."""
    for name, value in isolated({}).items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("AWS_ACCESS") or name == "AWS_PROFILE"]:
        monkeypatch.delenv(name)
    made = Stage(tmp_path)
    monkeypatch.setattr(module, "isolate", lambda: None)
    monkeypatch.setattr(module, "embedded_aws", made.embedded)
    monkeypatch.setattr(module, "configuration", made.configuration)
    return made


def test_the_whole_demo_under_the_printed_policy(stage, capfd):
    """Every service delivers every event with the printed policy and nothing more, and nothing is refused."""
    assert module.demo(2, 150) == 0, capfd.readouterr().err
    assert not stage.iam.refused
    printed = {action for one in stage.document["Statement"] for action in one["Action"]}
    apis = {one for one in printed if not one.startswith(("sqs:", "s3:"))}
    assert apis - stage.iam.allowed <= {"cloudwatch:GetMetricStatistics"}, "printed and never used"


@pytest.fixture
def log_of_one_refusal(stage, monkeypatch):
    """Return what runs the demo without an action, until its refusal is told, and returns the log."""
    logs = []
    start = module._start

    def starting(settings, aws, log):
        logs.append(log)
        return start(settings, aws, log)

    def run(action):
        def watch(_tally, _aws, collector, _timeout):
            told = f"allow {SPELT.get(action, action)} for {ARN} on "
            wait_until(lambda: told in logs[0].read_text() or collector.poll() is not None, 90, told)
            texts.append(logs[0].read_text())
            return False

        texts = []
        stage.without = action
        monkeypatch.setattr(module, "_start", starting)
        monkeypatch.setattr(module, "_watch", watch)
        assert module.demo(1, 90) == 1
        return texts[0]

    return run


USED = (
    *("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "s3:GetObject"),
    *("cloudtrail:LookupEvents", "cloudwatch:ListMetrics", "cloudwatch:GetMetricData"),
    *("logs:DescribeLogGroups", "logs:FilterLogEvents"),
    *("guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"),
)
"""What a short run asks; leases are extended after a minute, GetMetricStatistics is asked in trouble only."""

_QUICK = ("s3:GetObject",)


@pytest.mark.parametrize(
    "action", [pytest.param(one, marks=() if one in _QUICK else pytest.mark.slow) for one in USED]
)
def test_one_action_less_is_one_clear_error(log_of_one_refusal, action):
    """Without one action of the policy the log says which action to allow, for whom and on what."""
    (line, *_) = (one for one in log_of_one_refusal(action).splitlines() if f"allow {action}" in one)
    assert ARN in line
    assert " WARNING " in line or " ERROR " in line
