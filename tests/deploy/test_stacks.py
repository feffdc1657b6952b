"""The AWS side: the CloudFormation templates, deployed into an AWS that checks signatures and policies."""

import json
import re
from collections import Counter

import pytest

from flows.catalogue.services import CATALOGUE
from tests.deploy.image import ROOT
from tests.fakes.collector import Collector, Launch, configuration, first_difference, output, verdict
from tests.fakes.corpus import corpus, expected
from tests.fakes.ministack import Ministack
from tests.fakes.process import wait_until

TEMPLATES = ROOT / "deploy/aws/cloudformation"
EXTERNAL_ID = "external-id-of-the-test"
SOURCE = "test.securityhub"
"""Only AWS itself may send events of a source that begins with `aws.`."""

_TIMEOUT = 60.0
_BESIDE = {"sqs:GetQueueAttributes", "sts:AssumeRole", "kms:Decrypt"}
"""For `flows check`, role chains, and encrypted queues and objects: no service needs them by itself."""


def template(name):
    """Return the text of a template."""
    return (TEMPLATES / f"{name}.yaml").read_text()


def actions_needed():
    """Return the IAM actions of all services, and those beside."""
    needed = {action for one in CATALOGUE for action in one.actions}
    return needed | _BESIDE


@pytest.mark.parametrize("name", ["objects", "events", "roles", "ecs", "organization-member"])
def test_cfn_lint_finds_nothing(name):
    """AWS's own linter has neither an error nor a warning."""
    lint = pytest.importorskip("cfnlint.api", reason="needs the extra [deploy]")
    found = [match for match in lint.lint_all(template(name)) if match.rule.severity != "informational"]
    assert [str(match) for match in found] == []


def test_roles_allow_what_the_catalogue_needs():
    """The roles' actions are those of the catalogue's services, none less and none more."""
    words = template("roles").replace(",", " ").replace("[", " ").replace("]", " ").split()
    services = ("sqs:", "s3:", "kms:", "logs:", "cloudtrail:", "cloudwatch:", "guardduty:", "sts:AssumeRole")
    written = {word for word in words if word.startswith(services)}
    assert written - {"sts:AssumeRoleWithWebIdentity"} == actions_needed()


def actions_in_each_account():
    """Return the IAM actions of the services that ask an API, and what an organization asks besides."""
    asking = [one for one in CATALOGUE if one.probes]
    administered = {one.administered.action for one in asking if one.administered}
    needed = {action for one in asking for action in one.actions}
    return needed | administered | {"account:ListRegions", "ec2:DescribeRegions"}


def test_a_member_role_allows_what_is_asked_in_each_account():
    """No less and no more; the same as `policy --organization` prints."""
    text = template("organization-member").partition("\nResources:")[2]
    written = set(re.findall(r"\b(?:account|ec2|logs|cloudtrail|cloudwatch|guardduty):[A-Z]\w+", text))
    assert written == actions_in_each_account()


class Account:
    """An AWS account in which stacks are made."""

    def __init__(self, aws):
        self.aws = aws

    def stack(self, name, kind, **parameters):
        """Deploy a template and return its outputs."""
        cloudformation = self.aws.client("cloudformation")
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        capabilities = ["CAPABILITY_NAMED_IAM"]
        cloudformation.create_stack(
            StackName=name, TemplateBody=template(kind), Parameters=given, Capabilities=capabilities
        )

        def described():
            return cloudformation.describe_stacks(StackName=name)["Stacks"][0]

        wait_until(lambda: "IN_PROGRESS" not in described()["StackStatus"], _TIMEOUT, f"stack {name}")
        made = described()
        if made["StackStatus"] != "CREATE_COMPLETE":
            told = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [one["ResourceStatusReason"] for one in told if one.get("ResourceStatusReason")]
            raise AssertionError(f"stack {name}: {reasons}")
        return {one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]}

    def keys(self, user):
        """Make an access key for a user, as environment variables."""
        made = self.aws.client("iam").create_access_key(UserName=user)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}

    def arn(self, user):
        return self.aws.client("iam").get_user(UserName=user)["User"]["Arn"]


@pytest.fixture(scope="module")
def strict(certs):
    """Return an AWS that checks everything, over TLS: the queues' policies refuse what comes without."""
    with Ministack(auth=True, certs=certs) as aws:
        yield aws


OIDC = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"

TRUST = {
    "instance-profile": ({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole", None),
    "ecs-task": ({"Service": "ecs-tasks.amazonaws.com"}, "sts:AssumeRole", None),
    "pod-identity": ({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"], None),
    "oidc": (
        {"Federated": f"arn:aws:iam::000123456789:oidc-provider/{OIDC}"},
        "sts:AssumeRoleWithWebIdentity",
        {
            "StringEquals": {
                f"{OIDC}:sub": "system:serviceaccount:siem:aws",
                f"{OIDC}:aud": "sts.amazonaws.com",
            }
        },
    ),
}
"""What each form of a machine's own role trusts, as AWS documents it for EC2, ECS and EKS (twice)."""


@pytest.mark.parametrize("form", TRUST)
def test_a_machines_own_role_trusts_its_machine(strict, form):
    """EC2, ECS, EKS Pod Identity and IRSA: principal, actions and conditions as AWS documents them."""
    account, (principal, actions, condition) = Account(strict), TRUST[form]
    more = {}
    if form == "oidc":
        more = {"OidcProviderArn": principal["Federated"], "ServiceAccount": "siem:aws"}
    made = account.stack(f"own-{form}", "roles", Form=form, QueueArns="arn:aws:sqs:*:000123456789:q", **more)
    role = strict.client("iam").get_role(RoleName=made["RoleArn"].rpartition("/")[2])["Role"]
    document = role["AssumeRolePolicyDocument"]
    (statement,) = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    assert statement["Principal"] == principal
    assert statement["Action"] == actions
    assert statement.get("Condition") == condition
    assert ("InstanceProfile" in made) == (form == "instance-profile")


def test_a_member_role_lets_in_the_collector_of_its_organization_alone(strict):
    """Who assumes it must be the collector, of the organization, with the external id."""
    parameters = {
        "CollectorPrincipal": "arn:aws:iam::111111111111:role/collector",
        "OrganizationId": "o-a1b2c3d4e5",
        "ExternalId": EXTERNAL_ID,
    }
    made = Account(strict).stack("member", "organization-member", **parameters)
    assert made["RoleArn"].endswith(":role/devo-aws-collector")
    role = strict.client("iam").get_role(RoleName="devo-aws-collector")["Role"]
    document = role["AssumeRolePolicyDocument"]
    (statement,) = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    assert statement["Principal"] == {"AWS": parameters["CollectorPrincipal"]}
    assert statement["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5", "sts:ExternalId": EXTERNAL_ID}
    }


@pytest.mark.slow
def test_the_stacks_outputs_are_all_that_a_collector_needs(strict, certs, rsyslog, tmp_path):
    """Two buckets, an event queue and a role chain, made by the templates: everything put in arrives."""
    account = Account(strict)
    new = account.stack("flow", "objects", BucketName="siem-flow", Announce="new-bucket")
    strict.bucket("siem-trail")
    strict.client("s3").put_bucket_notification_configuration(
        Bucket="siem-trail", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    old = account.stack("trail", "objects", BucketName="siem-trail", KeyPrefix="AWSLogs/")
    hub = account.stack("hub", "events", Sources=SOURCE)
    roles = chain(account, [new, old, hub])
    credentials = {
        "base_assume_role": roles["base"],
        "target_assume_role": roles["target"],
        "assume_role_external_id": EXTERNAL_ID,
    }
    made = configuration(services(new, old, hub), output(rsyslog.port, certs), tmp_path)
    made["inputs"]["aws"]["credentials"] = credentials
    collector = Collector(strict, tmp_path / "collector", made, Launch("flows"))
    collector.environment |= {**account.keys(roles["user"]), "AWS_CA_BUNDLE": str(certs.ca)}
    due = put(strict)
    try:
        collector.start()
        wait_until(lambda: rsyslog.size() >= due.total() or not collector.alive, _TIMEOUT, "all events")
        collector.drain()
    finally:
        collector.kill()
    arrived = rsyslog.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)


def chain(account, stacks):
    """Make the machine's identity, the base role and the target role; return who they are."""
    machine = account.stack("machine", "roles", Form="user")["UserName"]
    base_parameters = {"TrustedPrincipals": account.arn(machine), "Form": "chain-base-role"}
    target_arn = f"arn:aws:iam::{account.arn(machine).split(':')[4]}:role/*"
    base = account.stack("base", "roles", TargetRoleArns=target_arn, **base_parameters)["RoleArn"]
    target = account.stack(
        "target",
        "roles",
        Form="target-role",
        TrustedPrincipals=base,
        ExternalId=EXTERNAL_ID,
        QueueArns=",".join(one["QueueArn"] for one in stacks),
        ObjectArns=",".join(f"{one['BucketArn']}/*" for one in stacks if "BucketArn" in one),
    )["RoleArn"]
    iam = account.aws.client("iam")
    iam.put_user_policy(UserName=machine, PolicyName="base", PolicyDocument=allow("sts:AssumeRole", base))
    # AWS checks sqs:DeleteMessage for a batch too; this AWS checks the batch operation's own name.
    batches = allow("sqs:*MessageBatch", *(one["QueueArn"] for one in stacks))
    iam.put_role_policy(RoleName=target.rpartition("/")[2], PolicyName="batches", PolicyDocument=batches)
    return {"user": machine, "base": base, "target": target}


def allow(action, *resources):
    """Return a policy document that allows one action."""
    statement = {"Effect": "Allow", "Action": action, "Resource": list(resources)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def services(flow, trail, hub):
    """Return the services of a configuration, from nothing but outputs of stacks."""
    return {
        "non-cloudwatch-logs": {
            "types": ["flowlogs"],
            "regions": [flow["Region"]],
            "auto_event_type": True,
            "vpcflowlogs_sqs_queue_name": flow["QueueName"],
        },
        "audit-events-all": {
            "types": ["audits_s3"],
            "regions": [trail["Region"]],
            "auto_event_type": True,
            "audit_sqs_queue_name": trail["QueueName"],
        },
        "sqs-cloudwatch-consumer": {
            "regions": [hub["Region"]],
            "cloudwatch_sqs_queue_name": hub["QueueName"],
        },
    }


def put(aws) -> Counter:
    """Put objects and events in; return how often each (tag, line) must arrive."""
    samples = corpus({"vpc": 6, "cloudtrail": 6}, seed=11)
    kept = [one for one in samples if one.service == "flowlogs" or one.key.startswith("AWSLogs/")]
    for sample in kept:
        bucket = "siem-flow" if sample.service == "flowlogs" else "siem-trail"
        aws.put(bucket, sample.key, sample.body)
    due = expected(kept, auto=True)
    findings = [{"SchemaVersion": "2018-10-08", "Id": f"finding-{number}"} for number in range(5)]
    entries = [
        {
            "Source": SOURCE,
            "DetailType": "Security Hub Findings - Imported",
            "Detail": json.dumps({"findings": findings}),
        },
        {"Source": "test.other", "DetailType": "not asked for", "Detail": "{}"},
    ]
    assert aws.client("events").put_events(Entries=entries)["FailedEntryCount"] == 0
    due.update(("cloud.aws.securityhub.findings", json.dumps(one).encode()) for one in findings)
    return due
