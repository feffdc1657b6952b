"""Policies as text: JSON for IAM, a CloudFormation template, Terraform."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from flows.commands.iam_policy import ANY_ACCOUNT, Grant, Known, grants
from flows.config.load import SettingsError, load

_ABOUT = "devo-aws-collector, {who}, input {input}"


def policy(config: Path | None, kind: str, known: Known) -> int:
    """Print the policies of a configuration. kind: a key of FORMATS."""
    found = grants(load(config), known)
    if not found:
        raise SettingsError("nothing is collected", "inputs", "switch an input and a service on")
    sys.stdout.write(FORMATS[kind](found))
    for line in widened(found, known):
        sys.stderr.write(f"{line}\n")
    return 0


def widened(found: Sequence[Grant], known: Known) -> list[str]:
    """Return what could be narrower if the user said more, one line each."""
    resources = [one for grant in found for statement in grant.statements for one in statement.resources]
    lines = []
    if any(re.fullmatch(r"arn:[\w-]+:s3:::\*/\*", one) for one in resources):
        lines.append(
            "objects of every bucket: s3:GetObject, s3:GetObjectVersion: name them by --bucket NAME "
            "or --bucket NAME/PREFIX"
        )
    if any(ANY_ACCOUNT in one for one in resources):
        lines.append("every account's number: resources: name yours by --account (JSON needs it)")
    if not known.keys:
        lines.append("no KMS key: kms:Decrypt: name keys of encrypted queues and buckets by --kms-key ARN")
    return lines


def _replaced(value: object, text: str) -> object:
    """Return a document with another text for accounts that are not known."""
    if isinstance(value, dict):
        return {key: _replaced(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, text) for inner in value]
    return value.replace(ANY_ACCOUNT, text) if isinstance(value, str) else value


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def as_json(found: Sequence[Grant]) -> str:
    """Return one policy document; with several identities an object of them, by whom they are for."""
    documents = {grant.label: _replaced(grant.document(), "*") for grant in found}
    return _json(next(iter(documents.values())) if len(found) == 1 else documents) + "\n"


def as_cloudformation(found: Sequence[Grant]) -> str:
    """Return a template with a managed policy for each identity.

    One that is of a known account is made in that account only, so the same template serves all of them.
    """
    names = _names(found, "Collector", str.title)
    conditions: dict[str, object] = {}
    resources: dict[str, Any] = {}
    for name, grant in names.items():
        about = _ABOUT.format(who=grant.who, input=grant.input)
        properties = {"Description": about, "PolicyDocument": _substituted(grant.document())}
        resources[name] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
        if grant.account and len(found) > 1:
            conditions[f"{name}Here"] = {"Fn::Equals": [{"Ref": "AWS::AccountId"}, grant.account]}
            resources[name]["Condition"] = f"{name}Here"
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What devo-aws-collector must be allowed; attach each policy to the identity it names",
        **({"Conditions": conditions} if conditions else {}),
        "Resources": resources,
    }
    return yaml.safe_dump(template, sort_keys=False, width=110)


def _substituted(value: object) -> object:
    """Return a document with the stack's own account where none is known."""
    if isinstance(value, dict):
        return {key: _substituted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_substituted(inner) for inner in value]
    if isinstance(value, str) and ANY_ACCOUNT in value:
        return {"Fn::Sub": value.replace(ANY_ACCOUNT, "${AWS::AccountId}")}
    return value


def as_terraform(found: Sequence[Grant]) -> str:
    """Return an aws_iam_policy for each identity, made in its account only when that is known."""
    parts = ['data "aws_caller_identity" "collector" {}\n']
    current = "data.aws_caller_identity.collector.account_id"
    for name, grant in _names(found, "collector", str.lower, "_").items():
        document = _json(_replaced(grant.document(), f"${{{current}}}")).replace("\n", "\n  ")
        count = f'  count       = {current} == "{grant.account}" ? 1 : 0\n' if grant.account else ""
        about = _ABOUT.format(who=grant.who, input=grant.input)
        parts.append(
            f'resource "aws_iam_policy" "{name}" {{\n'
            f"{count if len(found) > 1 else ''}"
            f'  name        = "devo-aws-{name.replace("_", "-")}"\n'
            f'  description = "{about}"\n'
            f"  policy      = jsonencode({document})\n}}\n"
        )
    return "\n".join(parts)


def _names(
    found: Sequence[Grant], first: str, spelt: Callable[[str], str], between: str = ""
) -> dict[str, Grant]:
    """Name each policy by its input and, where an input has several, its number on the way."""
    names: dict[str, Grant] = {}
    for grant in found:
        words = [first, *(spelt(word) for word in re.findall(r"[A-Za-z0-9]+", grant.input))]
        name = plain = between.join(words)
        number = 1
        while name in names:
            number += 1
            name = f"{plain}{between}{number}"
        names[name] = grant
    return names


def as_trust(found: Sequence[Grant]) -> str:
    """Return the trust policy of each role, by role; the first may be narrowed to the identity that asks."""
    return _json({grant.label: _trusting(grant.trust) for grant in found if grant.trust}) + "\n"


def _trusting(statement: object) -> object:
    return {"Version": "2012-10-17", "Statement": [statement]}


FORMATS: Mapping[str, Callable[[Sequence[Grant]], str]] = {
    "json": as_json,
    "cloudformation": as_cloudformation,
    "terraform": as_terraform,
    "trust": as_trust,
}
