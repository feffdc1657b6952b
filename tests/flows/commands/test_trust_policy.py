"""What must be written on both sides of a hop: statements that can be copied."""

import base64
import json

import pytest
import yaml

from flows.cli import main
from flows.commands.trust_policy import line, principal_of, right, trust, web_identity

ROLE = "arn:aws-us-gov:iam::123456789012:role/path/reads"


def token(**claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{part}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("arn", "before", "principal"),
    [
        ("arn:aws:iam::123456789012:user/bob", "", "arn:aws:iam::123456789012:user/bob"),
        ("arn:aws:sts::123456789012:assumed-role/reads/s", "", "arn:aws:iam::123456789012:role/reads"),
        ("arn:aws-us-gov:sts::123456789012:assumed-role/reads/s", ROLE, ROLE),
        ("arn:aws:sts::123456789012:assumed-role/other/s", ROLE, "arn:aws:iam::123456789012:role/other"),
    ],
)
def test_a_principal_is_who_stands_behind_a_session(arn, before, principal):
    """A trust policy names the role, not its session, with its path where that is known."""
    assert principal_of(arn, before) == principal


def test_statements_of_both_sides():
    """A statement has the external id only where one is given, and its value nowhere."""
    assert "Condition" not in trust(ROLE, external=False)
    assert trust(ROLE, external=True)["Condition"] == {"StringEquals": {"sts:ExternalId": "${EXTERNAL_ID}"}}
    assert line(right(ROLE)) == f'{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{ROLE}"}}'


def test_a_web_identity_is_let_in_by_issuer_and_subject():
    """The statement for a pod names its cluster's issuer, its service account and its audience."""
    issuer = "oidc.eks.eu-west-1.amazonaws.com/id/ABC"
    subject = "system:serviceaccount:devo:collector"
    found = web_identity(ROLE, token(iss=f"https://{issuer}", sub=subject, aud=["sts.amazonaws.com"]))
    assert found == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws-us-gov:iam::123456789012:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{issuer}:sub": subject, f"{issuer}:aud": ["sts.amazonaws.com"]},
        },
    }


@pytest.mark.parametrize("text", ["", "no token", "a.b.c", "e30.bnVsbA.x", token(iss=1), token(sub="s")])
def test_what_is_no_token_has_no_statement(text):
    """A token that cannot be read is no reason to fail."""
    assert web_identity(ROLE, text) is None


def test_policy_prints_the_trust_of_each_role(tmp_path, capsys):
    """`policy --format trust` prints who must be let in, role by role."""
    base, target = "arn:aws:iam::111111111111:role/base", "arn:aws:iam::222222222222:role/reads"
    given = {"base_assume_role": base, "target_assume_role": target, "assume_role_external_id": "hidden"}
    service = {"aws-guardduty": {"regions": ["eu-west-1"]}}
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"inputs": {"aws": {"id": "1", "credentials": given, "services": service}}})
    )
    assert main(["policy", "--config", str(config), "--format", "trust", "--account", "333333333333"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    first, second = (document["Statement"][0] for document in found.values())
    assert first["Principal"] == {"AWS": "arn:aws:iam::333333333333:root"}
    assert second["Principal"] == {"AWS": base}
    assert "Condition" not in first
    assert "Condition" in second
    assert "hidden" not in printed
