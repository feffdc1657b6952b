"""Checks of permissions that no harmless read can prove: to receive, to delete, to decrypt.

IAM itself tells by SimulatePrincipalPolicy, if that is allowed, which nothing else needs. It looks at the
identity's own policies; those of queues, buckets and keys are not in it. Without it one line tells what
will show with the first message only.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from botocore.exceptions import BotoCoreError, ClientError

from flows.catalogue.calls import QUEUE_RESOURCE
from flows.catalogue.service import Unit, calls_of
from flows.check.finding import CheckContext, Finding, fail, ok, spread, warn
from flows.check.identities import greeting, known_accounts, number
from flows.check.queues import attributes, wanted
from flows.commands.iam_policy import queue_arn
from sources.aws import partitions
from sources.aws.account import Account, required
from sources.errors import SourceError

_ASSUMED = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/")
_READ = frozenset({"sqs:GetQueueUrl", "sqs:GetQueueAttributes"})
"""Asked for real, by `queues`."""


def permissions(context: CheckContext) -> Iterator[Finding]:
    """Let IAM simulate what each identity will ask of queues and their keys."""
    return spread(lambda account: _account(context, account), known_accounts(context))


def _account(context: CheckContext, account: Account) -> Iterator[Finding]:
    asked, found = unproven(context, account), greeting(context, account)
    if not asked or not found.identity or found.identity.arn.endswith(":root"):
        return
    try:
        refused = list(_simulated(account, principal(account, found.identity.arn), asked))
    except (ClientError, BotoCoreError, SourceError):
        actions = ", ".join(sorted({action for actions in asked.values() for action in actions}))
        yield warn(
            "unproven",
            f"whether these are allowed shows with the first message: {actions}",
            account.where,
            "compare with python -m flows policy, or allow it iam:SimulatePrincipalPolicy on itself",
        )
        return
    for action, resource in refused:
        yield fail(
            "kms" if action.startswith("kms:") else "permission",
            f"{action} is not allowed for {found.identity.arn} on {resource}",
            account.where,
            f"allow {action} on {resource}; python -m flows policy prints it",
        )
    if not refused:
        count = sum(map(len, asked.values()))
        yield ok("permission", f"IAM's simulation allows all {count} that no read can prove", account.where)


def unproven(context: CheckContext, account: Account) -> dict[str, list[str]]:
    """Return resource → actions: what no read proves, of what this identity will do to queues and keys."""
    owner = number(context, account)
    found: dict[str, list[str]] = defaultdict(list)
    for unit in context.units:
        if unit.queue_account.key == account.key:
            for region, name in unit.options.queues(unit.service.name):
                found[queue_arn(region, name, owner)] = [*_actions(unit)]
    for queue in wanted(context):
        key = attributes(context, queue).get("KmsMasterKeyId", "")
        if queue.account.key == account.key and key and not key.startswith("alias/"):
            prefix = f"arn:{partitions.name_of(queue.region)}:kms:{queue.region}:{owner}:key/"
            found[key if ":" in key else f"{prefix}{key}"] = ["kms:Decrypt"]
    return dict(found)


def _actions(unit: Unit) -> Iterator[str]:
    for call in calls_of(unit):
        if call.resource == QUEUE_RESOURCE and call.action not in _READ:
            yield call.action


def principal(account: Account, arn: str) -> str:
    """Return the ARN of the user or role whose policies count, from that of a session."""
    if account.hops:
        return account.hops[-1].role  # a session's ARN leaves the role's path out
    found = _ASSUMED.match(arn)
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}" if found else arn


def _simulated(account: Account, source: str, asked: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield action and resource of what IAM would refuse."""
    client = account.client("iam", "")
    for resource, actions in asked.items():
        reply: Mapping[str, object] = client.simulate_principal_policy(
            PolicySourceArn=source, ActionNames=actions, ResourceArns=[resource]
        )
        results = required(reply, "EvaluationResults", account.where)
        yield from ((one["EvalActionName"], resource) for one in results if one["EvalDecision"] != "allowed")
