"""What must be written so that an identity may assume a role: its own policy, and the role's trust policy.

Both sides are needed between accounts; within one account the trust policy alone does when it names the
identity itself. (IAM user guide, "Cross-account policy evaluation logic"; "Methods to assume a role".)
"""

import base64
import binascii
import json
import re

Document = dict[str, object]

EXTERNAL_ID = "${EXTERNAL_ID}"
"""Stands for the external id, which is shown to nobody."""

_SESSION = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/")


def trust(principal: str, *, external: bool) -> Document:
    """Return the statement of a trust policy that lets `principal` in; external: with the external id."""
    condition = {"Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}} if external else {}
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **condition}


def trust_within(organization: str, principal: str, *, external: bool) -> Document:
    """Return the same for a role in each account: `principal` must be of the organization, too."""
    condition = {"aws:PrincipalOrgID": organization, **({"sts:ExternalId": EXTERNAL_ID} if external else {})}
    return {**trust(principal, external=False), "Condition": {"StringEquals": condition}}


def right(role: str) -> Document:
    """Return the statement of an identity's own policy by which it may assume `role`."""
    return {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}


def web_identity(role: str, token: str) -> Document | None:
    """Return the statement of a role's trust policy that lets the bearer of a web identity in.

    token: a JSON Web Token, whose issuer, subject and audience are read, not verified. None for what is none.
    """
    part = token.split(".")[1] if token.count(".") == 2 else ""  # noqa: PLR2004 - header, claims, signature
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        issuer, subject, audience = claims["iss"].removeprefix("https://"), claims["sub"], claims["aud"]
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError):
        return None
    partition, account = role.split(":")[1], role.split(":")[4]
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer}:sub": subject, f"{issuer}:aud": audience}},
    }


def principal_of(arn: str, before: str = "") -> str:
    """Return how a trust policy names who AWS says has asked: the role behind a session, else the user.

    before: the role that the session is of, as far as it is known: a session's ARN leaves its path out.
    """
    found = _SESSION.match(arn)
    if not found:
        return arn
    if before.endswith(f"/{found['role']}"):
        return before
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}"


def line(statement: Document) -> str:
    """Return a statement as one line, to be copied."""
    return json.dumps(statement, separators=(",", ":"))
