"""The Terraform modules say what the CloudFormation templates say (their provider cannot be had here)."""

import re
import shutil
import subprocess

import pytest

from tests.deploy.image import ROOT
from tests.deploy.test_stacks import actions_in_each_account, actions_needed, template

MODULES = ROOT / "deploy/aws/terraform"
NAMES = ("objects", "events", "roles", "ecs", "organization-member")
_OURS = (*NAMES, "queue")
_ONLY_CLOUDFORMATION = {"DeadLetterQueueUrl", "BucketArn", "UserName"}
_ONLY_TERRAFORM = {"ObjectArn"}
"""One of CloudFormation's BucketArn, with the prefix."""


def source(name):
    """Return the text of a module."""
    return (MODULES / name / "main.tf").read_text()


@pytest.mark.parametrize("name", _OURS)
def test_modules_parse_and_explain_every_variable(name):
    """A reader learns from the module itself what each variable and output is for."""
    hcl2 = pytest.importorskip("hcl2", reason="needs the extra [deploy]")
    parsed = hcl2.loads(source(name))
    for kind in ("variable", "output"):
        for block in parsed[kind]:
            ((called, body),) = block.items()
            assert body["description"], called


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_template(name):
    """Whoever changes from one to the other finds the same things under the same names."""
    mine = {
        "".join(part.capitalize() for part in called.split("_"))
        for called in re.findall(r'^output "(\w+)"', source(name), re.MULTILINE)
    }
    theirs = set(re.findall(r"^  (\w+):", template(name).partition("\nOutputs:\n")[2], re.MULTILINE))
    assert mine - _ONLY_TERRAFORM == theirs - _ONLY_CLOUDFORMATION


def test_roles_allow_what_the_catalogue_needs():
    """The actions are those of the catalogue's services, none less and none more."""
    written = set(
        re.findall(r'"((?:sqs|s3|kms|logs|cloudtrail|cloudwatch|guardduty|sts):\w+)"', source("roles"))
    )
    assert written - {"sts:ExternalId", "sts:AssumeRoleWithWebIdentity", "sts:TagSession"} == actions_needed()


def test_a_member_role_allows_what_is_asked_in_each_account():
    """The actions are those of the template."""
    words = re.findall(
        r'"((?:account|ec2|logs|cloudtrail|cloudwatch|guardduty):[A-Z]\w+)"', source("organization-member")
    )
    assert set(words) == actions_in_each_account()


def test_modules_are_in_terraforms_own_format():
    """`terraform fmt` would change nothing."""
    terraform = shutil.which("terraform")
    if not terraform:
        pytest.skip("needs terraform")
    told = subprocess.run(
        [terraform, "fmt", "-check", "-recursive", str(MODULES)],
        capture_output=True,
        check=False,
        env={"TF_CLI_CONFIG_FILE": "/dev/null"},
    )
    assert (told.returncode, told.stdout) == (0, b"")
