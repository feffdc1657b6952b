"""One read of each API action, against the served APIs."""

import time

import boto3
import pytest

from sources.aws.account import Account
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.faultproxy import FaultProxy
from tests.flows.check.conftest import config

REGION, ACCOUNT = fake_aws.REGION, fake_aws.ACCOUNT
KEYS = {"access_key": ACCOUNT, "access_secret": "secret"}
GROUP = "/aws/lambda/f"
SERVICES = {
    "audit-events-all": {"types": ["audits_api"], "regions": [REGION]},
    "metrics-all": {"regions": [REGION], "namespaces": ["AWS/EC2"]},
    "application": {"types": ["logs"], "regions": [REGION], "log_group": GROUP},
    "aws-guardduty": {"regions": [REGION]},
}


@pytest.fixture(scope="module")
def server():
    """Return the served APIs."""
    with fake_aws.FakeAws() as started:
        yield started


@pytest.fixture
def apis(server, monkeypatch):
    """Return a proxy before the served APIs, which hold one of everything."""
    fake_aws.reset()
    now = time.time()
    with FaultProxy(server.url) as proxy:
        for name, value in fake_aws.environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        fake_aws.put_log_group(GROUP, account=ACCOUNT, region=REGION)
        samples = [{"timestamp": now - 60, "value": 1.0}]
        fake_aws.put_metric_samples("AWS/EC2", "CPUUtilization", samples)
        yield proxy


@pytest.fixture
def detector(apis):
    """Return a GuardDuty detector with one finding."""
    client = boto3.client("guardduty")
    made = client.create_detector(Enable=True)["DetectorId"]
    fake_aws.put_findings(made, [{}])
    return made


def test_all_is_allowed(look, apis, detector):
    """Each service has one ok line that names the actions which were asked for real."""
    found = look(config(SERVICES, KEYS))
    assert not found.of("fail")
    assert not found.of("warn")
    allowed = {str(one).partition("allowed: ")[2].partition(" (input")[0] for one in found.found}
    assert {
        "cloudtrail:LookupEvents: audits_api in us-east-1",
        "cloudwatch:ListMetrics, cloudwatch:GetMetricData: metrics-all in us-east-1",
        f"logs:DescribeLogGroups, logs:FilterLogEvents: logs {GROUP} in us-east-1",
        "guardduty:ListDetectors, guardduty:ListFindings, guardduty:GetFindings: aws-guardduty in us-east-1",
    } <= allowed


DENIED = {
    "cloudtrail:LookupEvents": "",
    "cloudwatch:ListMetrics": "",
    "cloudwatch:GetMetricData": "",
    "logs:DescribeLogGroups": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group::log-stream:",
    "logs:FilterLogEvents": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:log-stream:",
    "guardduty:ListDetectors": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/*",
    "guardduty:ListFindings": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/d",
    "guardduty:GetFindings": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/d",
}
"""Action → the resource that AWS names in its refusal."""


@pytest.mark.parametrize(("action", "resource"), DENIED.items())
def test_an_action_that_is_not_allowed(look, apis, detector, action, resource):
    """Each missing permission is one failure that names action, principal and resource."""
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/reads/session"
    on = f" on resource: {resource}" if resource else ""
    why = f"because no identity-based policy allows the {action} action"
    apis.add(
        "error",
        op=action.replace(":", "."),
        code="AccessDeniedException",
        status=403,
        message=f"User: {who} is not authorized to perform: {action}{on} {why}",
    )
    line = look(config(SERVICES, KEYS)).only("fail", "permission")
    assert f"{action} is not allowed for {who} on {resource or f'* in {REGION}'}: " in line
    assert f"allow {action} on" in line


def test_no_detector(look, apis):
    """A region without GuardDuty is told."""
    line = look(config(SERVICES, KEYS)).only("warn", "nothing_there")
    assert "there is no detector: aws-guardduty in us-east-1" in line


def test_a_log_group_that_is_not_there(look, apis, detector):
    """Of several log groups the one that is not there is told."""
    logs = {
        "types": ["logs"],
        "regions": [REGION],
        "log_groups": [{"log_group": GROUP}, {"log_group": "/x/f"}],
    }
    line = look(config({"application": logs}, KEYS)).only("warn", "nothing_there")
    assert "there is no such log group: logs /x/f in us-east-1" in line


def test_a_group_whose_name_only_begins_so(look, apis):
    """A group with a longer name does not stand for the one that is wanted."""
    logs = {"types": ["logs"], "regions": [REGION], "log_group": "/aws/lambda"}
    look(config({"application": logs}, KEYS)).only("warn", "nothing_there")


def test_check_asks_a_query_where_groups_are_read_so(look, apis, monkeypatch):
    """With `infrequent_access` such a group is no warning; a query of one second proves the permission."""
    aws = Monitoring("INFREQUENT_ACCESS")
    answers_logs(monkeypatch, aws)
    mine = {"types": ["logs"], "regions": [REGION], "log_group": GROUP, "infrequent_access": True}
    found = look(config({"mine": mine}, KEYS))
    assert any("logs:StartQuery" in str(one) for one in found.of("ok"))
    assert not [one for one in found.of("warn") if GROUP in str(one)]
    assert aws.asked[1]["startTime"] == aws.asked[1]["endTime"]


def test_h19_a_proxys_page_is_no_proof(look, apis, detector):
    """A 200 that is a proxy's page is a failure, not an empty answer."""
    apis.add("junk", op="cloudtrail.LookupEvents")
    assert "reply without Events" in look(config(SERVICES, KEYS)).only("fail", "api")


def test_services_without_a_table_are_told(look, apis):
    """With `auto_event_type`, services of the latest events without a table are named, and the cure."""
    names = ("s3.amazonaws.com", "kiro.amazonaws.com")
    fake_aws.put_cloudtrail_events([{"EventName": "Put", "EventSource": name} for name in names])
    audits = {"types": ["audits_api"], "regions": [REGION], "auto_event_type": True}
    line = look(config({"audit-events-all": audits}, KEYS)).only("warn", "table_missing")
    assert "no table for kiro.amazonaws.com: their events go to cloud.aws.cloudtrail.events" in line
    assert "globals.tables.cloudtrail" in line


class Monitoring:
    """CloudWatch Logs of a monitoring account, as boto3 shows it."""

    def __init__(self, kind: str = "STANDARD") -> None:
        self.asked, self.kind = [], kind

    def describe_log_groups(self, **asked):
        self.asked.append(asked)
        owner = asked.get("accountIdentifiers", [ACCOUNT])[0]
        arn = f"arn:aws:logs:{REGION}:{owner}:log-group:{GROUP}:*"
        return {"logGroups": [{"logGroupName": GROUP, "arn": arn, "logGroupClass": self.kind}]}

    def filter_log_events(self, **asked):
        self.asked.append(asked)
        return {"events": []}

    def start_query(self, **asked):
        self.asked.append(asked)
        return {"queryId": "q"}


def answers_logs(monkeypatch, aws):
    """Let this answer for CloudWatch Logs."""
    real = Account.client
    monkeypatch.setattr(
        Account, "client", lambda self, name, at: aws if name == "logs" else real(self, name, at)
    )


def test_r24_check_asks_the_account_that_an_arn_names(look, apis, monkeypatch):
    """A group of another account is listed and read there, by its ARN; the own one by its name."""
    aws = Monitoring()
    answers_logs(monkeypatch, aws)
    foreign = f"arn:aws:logs:{REGION}:999999999999:log-group:{GROUP}"
    service = {"types": ["logs"], "regions": [REGION]}
    found = look(config({"mine": {**service, "log_groups": [{"log_group": foreign}]}}, KEYS))
    assert not found.of("fail")
    listed, filtered = aws.asked
    assert (listed["includeLinkedAccounts"], listed["accountIdentifiers"]) == (True, ["999999999999"])
    assert filtered["logGroupIdentifier"] == foreign
    aws.asked.clear()
    look(config({"mine": {**service, "log_group": foreign.replace("999999999999", ACCOUNT)}}, KEYS))
    assert "includeLinkedAccounts" not in aws.asked[0]
    assert aws.asked[1]["logGroupName"] == GROUP
    aws.asked.clear()
    look(config({"mine": {**service, "log_group": "/", "include_linked_accounts": True}}, KEYS))
    assert aws.asked[0]["includeLinkedAccounts"] is True


def test_r28_check_names_the_class_of_a_group_that_is_not_read(look, apis, monkeypatch):
    """A group of class Infrequent Access is told by its class; nothing that its class refuses is asked."""
    aws = Monitoring("INFREQUENT_ACCESS")
    answers_logs(monkeypatch, aws)
    found = look(config({"mine": {"types": ["logs"], "regions": [REGION], "log_group": GROUP}}, KEYS))
    assert any(GROUP in str(one) and "STANDARD" in str(one) for one in found.of("warn"))
    assert len(aws.asked) == 1
