"""The printed policy: complete, narrow, and valid in each of its forms."""

import json
import re

import pytest
import yaml

from flows.catalogue.services import CATALOGUE
from flows.cli import main
from flows.commands.iam_policy import ANY_ACCOUNT, QUEUE_ATTRIBUTES, Known, grants
from flows.commands.iam_policy_formats import FORMATS
from flows.config.base import QueuedSettings
from flows.config.load import load

BASE, TARGET = "arn:aws:iam::111111111111:role/base", "arn:aws:iam::222222222222:role/reads"
KEYS = {"access_key": "A", "access_secret": "s"}
FLOW = {"types": ["flowlogs"], "regions": ["eu-west-1"], "vpcflowlogs_sqs_queue_name": "flow"}


@pytest.fixture
def written(tmp_path):
    """Return what writes a configuration of these services and returns its path."""

    def write(services, credentials=KEYS, **more):
        made = {"id": "1", "credentials": credentials, "services": services}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"inputs": {"aws": made}, **more}, sort_keys=False))
        return path

    return write


@pytest.fixture
def granted(written):
    """Return what gives the grants of these services."""
    return lambda services, credentials=KEYS, known=Known(), **more: grants(  # noqa: B008 - it is frozen
        load(written(services, credentials, **more)), known
    )


def allowed(grant):
    """Return action → resources."""
    found = {}
    for statement in grant.statements:
        for action in statement.actions:
            found.setdefault(action, set()).update(statement.resources)
    return found


def options(service):
    """Return the settings that a service of the catalogue needs at least."""
    made = {"regions": ["eu-west-1"], "types": [service.name]}
    empty = service.settings.model_construct()
    queues = empty.own_queues if isinstance(empty, QueuedSettings) else {}
    return {**made, **({queues[service.name].key: "queue"} if service.name in queues else {})} | (
        {} if service.service_key else {"log_group": "/", "infrequent_access": True}
    )


@pytest.mark.parametrize("service", CATALOGUE, ids=lambda service: service.name)
def test_each_service_gets_what_it_needs_and_no_more(granted, service):
    """The policy of one service has exactly the actions of its row in the catalogue."""
    (grant,) = granted({service.service_key or "mine": options(service)}, known=Known(checks=False))
    assert set(allowed(grant)) == set(service.actions)


def test_queues_by_region_and_account(granted):
    """A queue's ARN has its region, and the account that the role, the option or nothing tells."""
    found = granted({"non-cloudwatch-logs": {**FLOW, "regions": ["eu-west-1", "us-gov-west-1"]}})[0]
    assert allowed(found)["sqs:ReceiveMessage"] == {
        f"arn:aws:sqs:eu-west-1:{ANY_ACCOUNT}:flow",
        f"arn:aws-us-gov:sqs:us-gov-west-1:{ANY_ACCOUNT}:flow",
    }
    (told,) = granted({"non-cloudwatch-logs": FLOW}, known=Known("333333333333"))
    assert allowed(told)["sqs:DeleteMessage"] == {"arn:aws:sqs:eu-west-1:333333333333:flow"}


def test_a_queue_given_by_url(granted):
    """A URL tells the account, and is not looked up."""
    url = "https://sqs.eu-west-1.amazonaws.com/444444444444/flow"
    (found,) = granted({"non-cloudwatch-logs": {**FLOW, "vpcflowlogs_sqs_queue_name": url}})
    assert allowed(found)["sqs:ReceiveMessage"] == {"arn:aws:sqs:eu-west-1:444444444444:flow"}
    assert "sqs:GetQueueUrl" not in allowed(found)


def test_two_hops_are_three_policies(granted):
    """Each identity on the way may assume the next role and nothing else; only the last one reads."""
    hops = {"base_assume_role": BASE, "target_assume_role": TARGET}
    machine, base, target = granted({"non-cloudwatch-logs": FLOW}, hops)
    assert allowed(machine) == {"sts:AssumeRole": {BASE}}
    assert allowed(base) == {"sts:AssumeRole": {TARGET}}
    assert allowed(target)["sqs:ReceiveMessage"] == {"arn:aws:sqs:eu-west-1:222222222222:flow"}
    assert "sts:AssumeRole" not in allowed(target)
    assert [one.account for one in (machine, base, target)] == ["", "111111111111", "222222222222"]


def test_keys_and_a_role_are_two_policies(granted):
    """The key's user may assume the role, the role reads."""
    user, role = granted({"non-cloudwatch-logs": FLOW}, {**KEYS, "base_assume_role": BASE})
    assert allowed(user) == {"sts:AssumeRole": {BASE}}
    assert allowed(role)["s3:GetObject"] == {"arn:aws:s3:::*/*"}
    assert (user.who, role.who) == ("the user of access_key", f"base_assume_role {BASE}")


def test_buckets_and_keys_that_are_named(granted):
    """Buckets, prefixes and KMS keys that are named are the only ones."""
    known = Known(buckets=("logs", "more/AWSLogs/"), keys=("arn:aws:kms:eu-west-1:1:key/k",))
    (found,) = granted({"non-cloudwatch-logs": FLOW}, known=known)
    assert allowed(found)["s3:GetObject"] == {"arn:aws:s3:::logs/*", "arn:aws:s3:::more/AWSLogs/*"}
    assert allowed(found)["kms:Decrypt"] == {"arn:aws:kms:eu-west-1:1:key/k"}


def test_a1_buckets_of_the_configuration(granted):
    """The service's own buckets are the only ones, of their owners' accounts where these are named."""
    own = ["logs/AWSLogs/", {"name": "org-*", "account": "123456789012"}]
    (found,) = granted({"non-cloudwatch-logs": {**FLOW, "buckets": own}})
    reads = [one for one in found.document()["Statement"] if "s3:GetObjectVersion" in one["Action"]]
    assert [(one["Resource"], one.get("Condition")) for one in reads] == [
        (["arn:aws:s3:::logs/AWSLogs/*"], None),
        (["arn:aws:s3:::org-*/*"], {"StringEquals": {"s3:ResourceAccount": ["123456789012"]}}),
    ]


def test_r1_quarantine_in_an_encrypted_bucket(granted):
    """Writing objects under a KMS key needs data keys of it."""
    top = {"globals": {"quarantine": "s3://bad/things/"}}
    (found,) = granted({"non-cloudwatch-logs": FLOW}, known=Known(keys=("arn:aws:kms:::key/k",)), **top)
    assert allowed(found)["kms:GenerateDataKey"] == {"arn:aws:kms:::key/k"}


def test_log_groups(granted):
    """Reading is narrowed to the groups and prefixes of the configuration, in their regions."""
    groups = ["/aws/lambda/f", "/aws/rds/", "arn:aws:logs:us-east-1:5:log-group:only-there:*"]
    logs = {
        "types": ["logs"],
        "regions": ["eu-west-1"],
        "log_groups": [{"log_group": name} for name in groups],
    }
    (found,) = granted({"mine": logs}, known=Known("555555555555"))
    prefix = "arn:aws:logs:eu-west-1:555555555555:log-group:"
    assert allowed(found)["logs:FilterLogEvents"] == {f"{prefix}/aws/lambda/f:*", f"{prefix}/aws/rds/*:*"}
    assert allowed(found)["logs:DescribeLogGroups"] == {f"{prefix}*"}
    assert "logs:StartQuery" not in allowed(found)
    (found,) = granted({"mine": {**logs, "infrequent_access": True}}, known=Known("555555555555"))
    assert allowed(found)["logs:StartQuery"] == allowed(found)["logs:FilterLogEvents"]
    assert allowed(found)["logs:GetQueryResults"] == {"*"}


def test_what_has_no_narrower_resource_is_bound_to_its_regions(granted):
    """Actions on `*` are allowed in the regions of the configuration only."""
    (found,) = granted({"audit-events-all": {"types": ["audits_api"], "regions": ["eu-west-1", "us-east-1"]}})
    (statement,) = found.document()["Statement"]
    assert statement["Resource"] == ["*"]
    condition = {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}
    assert statement["Condition"] == condition


def test_quarantine_in_a_bucket(granted):
    """The first input's identity may write to the quarantine prefix, others may not."""
    top = {"globals": {"quarantine": "s3://bad/things/"}}
    (found,) = granted({"non-cloudwatch-logs": FLOW}, **top)
    assert allowed(found)["s3:PutObject"] == {"arn:aws:s3:::bad/things/*"}


def test_a_journal_in_a_bucket(granted):
    """Written and read under its prefix, listed there, and only parts of logs are deleted."""
    top = {"globals": {"journal": "s3://kept/journal/"}}
    (found,) = granted({"service-events-all": {"regions": ["eu-west-1"], "sqs_queue_name": "q"}}, **top)
    may = allowed(found)
    assert may["s3:PutObject"] == may["s3:GetObject"] == {"arn:aws:s3:::kept/journal/*"}
    assert may["s3:ListBucket"] == {"arn:aws:s3:::kept"}
    assert may["s3:DeleteObject"] == {"arn:aws:s3:::kept/journal/log/*"}
    (listing,) = [one for one in found.document()["Statement"] if "s3:ListBucket" in one["Action"]]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["journal/*"]}}


def test_what_only_the_check_needs_may_be_left_out(granted):
    """Queue attributes are read by the check only, so their permission stands alone and can be left out."""
    (found,) = granted({"non-cloudwatch-logs": FLOW})
    sids = {one["Sid"]: one["Action"] for one in found.document()["Statement"]}
    assert sids["CheckOnly"] == [QUEUE_ATTRIBUTES]
    (bare,) = granted({"non-cloudwatch-logs": FLOW}, known=Known(checks=False))
    assert QUEUE_ATTRIBUTES not in allowed(bare)


def test_json_is_a_policy_document(written, capsys):
    """With one identity the JSON is the document as IAM takes it; what could be narrower is on stderr."""
    assert main(["policy", "--config", str(written({"non-cloudwatch-logs": FLOW}))]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["Version"] == "2012-10-17"
    assert document["Statement"][0]["Resource"] == ["arn:aws:sqs:eu-west-1:*:flow"]
    assert len({one["Sid"] for one in document["Statement"]}) == len(document["Statement"])
    assert all(re.fullmatch(r"[A-Za-z0-9]+", one["Sid"]) for one in document["Statement"])
    assert "--bucket" in told.err
    assert "--account" in told.err


def test_several_identities_are_told_apart(granted):
    """With several identities the JSON tells for each whom it is for."""
    text = FORMATS["json"](granted({"non-cloudwatch-logs": FLOW}, {**KEYS, "base_assume_role": BASE}))
    assert list(json.loads(text)) == ["aws: the user of access_key", f"aws: base_assume_role {BASE}"]


def test_cloudformation(granted):
    """The template has a managed policy for each identity, made in its own account only."""
    hops = {"base_assume_role": BASE, "target_assume_role": TARGET}
    template = yaml.safe_load(FORMATS["cloudformation"](granted({"non-cloudwatch-logs": FLOW}, hops)))
    resources = template["Resources"]
    assert {one["Type"] for one in resources.values()} == {"AWS::IAM::ManagedPolicy"}
    conditions = [one.get("Condition") for one in resources.values()]
    assert conditions[0] is None
    assert template["Conditions"][conditions[2]] == {
        "Fn::Equals": [{"Ref": "AWS::AccountId"}, "222222222222"]
    }
    (alone,) = yaml.safe_load(FORMATS["cloudformation"](granted({"non-cloudwatch-logs": FLOW})))[
        "Resources"
    ].values()
    first = alone["Properties"]["PolicyDocument"]["Statement"][0]["Resource"][0]
    assert first == {"Fn::Sub": "arn:aws:sqs:eu-west-1:${AWS::AccountId}:flow"}


def test_terraform(granted):
    """Each identity is an aws_iam_policy whose document is JSON, with the caller's own account."""
    text = FORMATS["terraform"](granted({"non-cloudwatch-logs": FLOW}))
    (document,) = re.findall(r"jsonencode\((.*?)\)\n}", text, re.DOTALL)
    resource = json.loads(document)["Statement"][0]["Resource"][0]
    assert resource == "arn:aws:sqs:eu-west-1:${data.aws_caller_identity.collector.account_id}:flow"
    assert text.startswith('data "aws_caller_identity" "collector" {}\n')
    assert 'resource "aws_iam_policy" "collector_aws" {' in text


def test_nothing_to_allow(written, capsys):
    """A configuration that collects nothing has no policy: exit code 2 and one line."""
    path = written({"non-cloudwatch-logs": {**FLOW, "enabled": False}})
    assert main(["policy", "--config", str(path)]) == 2
    assert "nothing is collected" in capsys.readouterr().err


def test_a_listing_is_granted_for_its_prefix(granted):
    """ListBucket has a condition on the prefix, GetObject its keys; nothing is said of queues."""
    umbrella = {"regions": ["eu-west-1"], "s3_listing": "s3://cisco-managed-eu-west-1/1234567_ab/"}
    (grant,) = granted({"cisco-umbrella": umbrella})
    assert allowed(grant) == {
        "s3:ListBucket": {"arn:aws:s3:::cisco-managed-eu-west-1"},
        "s3:GetObject": {"arn:aws:s3:::cisco-managed-eu-west-1/1234567_ab/*"},
        "s3:GetObjectVersion": {"arn:aws:s3:::cisco-managed-eu-west-1/1234567_ab/*"},
    }
    lists = next(one for one in grant.document()["Statement"] if "s3:ListBucket" in one["Action"])
    assert lists["Condition"] == {"StringLike": {"s3:prefix": ["1234567_ab/*"]}}
    waf = {"regions": ["eu-west-1"], "s3_listing": "cisco-managed-eu-west-1"}
    (both,) = granted({"cisco-umbrella": umbrella, "aws_sqs_waf": waf})
    conditions = [one.get("Condition") for one in both.document()["Statement"]]
    assert {"StringLike": {"s3:prefix": ["1234567_ab/*"]}} in conditions  # one listing does not widen another
    assert None in conditions


def test_r24_log_groups_of_other_accounts_are_allowed_as_theirs(granted):
    """An ARN allows what it names in its own account; with linked accounts a name is any account's."""
    foreign = "arn:aws:logs:eu-west-1:999999999999:log-group:/app"
    service = {
        "types": ["logs"],
        "regions": ["eu-west-1"],
        "log_groups": [{"log_group": foreign}, {"log_group": "/a"}],
    }
    may = allowed(granted({"mine": service}, known=Known("111111111111"))[-1])
    own = "arn:aws:logs:eu-west-1:111111111111:log-group:"
    assert may["logs:FilterLogEvents"] == {f"{foreign}:*", f"{own}/a:*"}
    assert may["logs:DescribeLogGroups"] == {f"{own}*", "arn:aws:logs:eu-west-1:999999999999:log-group:*"}
    service = {
        "types": ["logs"],
        "regions": ["cn-north-1"],
        "log_group": "/a/",
        "include_linked_accounts": True,
    }
    may = allowed(granted({"mine": service}, known=Known("111111111111"))[-1])
    assert may["logs:FilterLogEvents"] == {"arn:aws-cn:logs:cn-north-1:*:log-group:/a/*:*"}


def test_an_organization_has_two_sides(tmp_path):
    """Who lists accounts may assume the roles, which may what each account is asked; neither may more."""
    config = tmp_path / "config.yaml"
    config.write_text(
        """
inputs:
  all:
    id: "1"
    credentials: {base_assume_role: "arn:aws:iam::111111111111:role/collector"}
    organization: {role_name: reads, external_id: abc, include: [ou-abcd-11111111], regions: [eu-west-1]}
    services: {aws-guardduty: {}, logs: {types: [logs], log_group: /}}
"""
    )
    found = grants(load(config), Known(organization="o-a1b2c3d4e5"))
    machine, lists, member = found
    assert [one.actions for one in machine.statements] == [("sts:AssumeRole",)]
    assert {(one.actions[0], one.resources) for one in lists.statements} == {
        ("sts:AssumeRole", ("arn:aws:iam::*:role/reads",)),
        ("organizations:ListAccounts", ("*",)),
    }
    actions = {action for one in member.statements for action in one.actions}
    assert {"account:ListRegions", "guardduty:ListMembers", "logs:FilterLogEvents"} <= actions
    assert "sts:AssumeRole" not in actions
    assert member.trust["Principal"] == {"AWS": "arn:aws:iam::111111111111:role/collector"}
    assert member.trust["Condition"]["StringEquals"]["aws:PrincipalOrgID"] == "o-a1b2c3d4e5"
    regions = {one.regions for one in member.statements if "guardduty:ListDetectors" in one.actions}
    assert regions == {("eu-west-1",)}
