"""The whole demo under exactly the policy that `policy` prints, in an AWS that refuses as AWS does."""

import os

import pytest

from flows.demo import demo as module
from flows.demo.embedded import isolated
from flows.demo.sample_audits import ACCOUNT
from flows.demo.strict import OLD, PRINTED, StrictAws, without
from flows.demo.strict_aws import Person
from tests.fakes.process import wait_until

ARN = f"arn:aws:iam::{ACCOUNT}:user/collector"


@pytest.fixture
def stages(monkeypatch):
    """Return the strict AWS of each demo that runs."""
    for name, value in isolated({}).items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("AWS_ACCESS") or name == "AWS_PROFILE"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(module, "isolate", lambda: None)
    made = []
    admit = StrictAws.admit

    def admitted(self, settings):
        made.append(self)
        admit(self, settings)

    monkeypatch.setattr(StrictAws, "admit", admitted)
    return made


def test_the_whole_demo_under_the_printed_policy(stages, capfd):
    """Every service delivers every event with the printed policy and nothing more; nothing is refused."""
    assert module.demo(module.DemoRequest(2, 150, strict=PRINTED)) == 0, capfd.readouterr().err
    (aws,) = stages
    assert aws.state.refused == []
    (person,) = aws.state.people.values()
    printed = {action for one in person.document["Statement"] for action in one["Action"]}
    seldom = {
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",  # for check, and for queues whose buckets nobody named
        "cloudwatch:GetMetricStatistics",
        "s3:GetObject",
    }
    assert printed - aws.state.allowed <= seldom, "printed and never used"
    assert "kms:Decrypt" in aws.state.allowed


@pytest.mark.full
@pytest.mark.timeout(600)
def test_three_replicas_under_the_printed_policy(stages, capfd):
    """Three processes for the queues and one for the APIs need nothing more, and bring the same."""
    assert module.demo(module.DemoRequest(1, 500, strict=PRINTED, processes=3)) == 0, capfd.readouterr().err
    assert stages[0].state.refused == []


def test_the_whole_demo_under_the_policy_of_before(stages, capfd):
    """With s3:GetObject alone everything arrives as well, from versioned buckets, with one warning."""
    assert module.demo(module.DemoRequest(2, 150, strict=OLD)) == 0, capfd.readouterr().err
    refused = {action for action, _ in stages[0].state.refused}
    assert "s3:GetObjectVersion" in refused
    assert refused <= {"s3:GetObjectVersion", "sqs:GetQueueAttributes"}


@pytest.fixture
def log_of_one_refusal(stages, monkeypatch):
    """Return what runs the demo without an action, until its refusal is told, and returns the log."""
    logs, texts = [], []
    start, admit = module._start, StrictAws.admit

    def starting(settings, processes, aws, log):
        logs.append(log)
        return start(settings, processes, aws, log)

    def run(action):
        def admitted(self, settings):
            admit(self, settings)
            self.state.people = {
                key: Person(one.arn, without(one.document, action)) for key, one in self.state.people.items()
            }

        def watch(_tally, _aws, collector, _timeout):
            told = f"allow {action} for {ARN} on "
            wait_until(lambda: told in logs[0].read_text() or collector.poll() is not None, 90, told)
            texts.append(logs[0].read_text())
            return False

        monkeypatch.setattr(StrictAws, "admit", admitted)
        monkeypatch.setattr(module, "_start", starting)
        monkeypatch.setattr(module, "_watch", watch)
        assert module.demo(module.DemoRequest(1, 90, strict=PRINTED)) == 1
        return texts[0]

    return run


USED = (
    *("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "kms:Decrypt"),
    *("cloudtrail:LookupEvents", "cloudwatch:ListMetrics", "cloudwatch:GetMetricData"),
    *("logs:DescribeLogGroups", "logs:FilterLogEvents"),
    *("guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"),
)
"""What a short run asks and cannot do without: leases are extended after a minute, GetMetricStatistics is
asked in trouble only.
"""

_QUICK = ("kms:Decrypt",)


@pytest.mark.parametrize(
    "action", [pytest.param(one, marks=() if one in _QUICK else pytest.mark.slow) for one in USED]
)
def test_one_action_less_is_one_clear_error(log_of_one_refusal, action):
    """Without one action of the policy the log says which action to allow, for whom and on what."""
    (line, *_) = (one for one in log_of_one_refusal(action).splitlines() if f"allow {action}" in one)
    assert ARN in line
    assert " WARNING " in line or " ERROR " in line
