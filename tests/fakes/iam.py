"""IAM before AWS APIs that enforce none: a proxy that judges each request by a policy document.

ministack's own evaluator decides (actions, resources, conditions), and a refusal has AWS's words. Signatures
are not checked. It knows the services that `fake_aws` serves; others pass.
"""

import json
import random
from typing import Any
from urllib.parse import urlsplit

from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from flows.demo.fake_aws.wire import caller
from tests.fakes.faultproxy import FaultProxy, Rule, _Request

_JUDGED = frozenset({"cloudtrail", "cloudwatch", "guardduty", "logs"})


class IamProxy(FaultProxy):
    """`with IamProxy(url, who, document) as proxy:` lets through only what the document allows.

    who: ARN of whoever asks. document: a policy, which a test may replace. refused: actions, in order.
    """

    def __init__(self, upstream: str, who: str, document: dict[str, Any]) -> None:
        super().__init__(upstream)
        self.who, self.document = who, document
        self.refused: list[str] = []
        self.allowed: set[str] = set()

    def _befallen(self, request: _Request) -> Rule | None:
        service, _, operation = request.op.partition(".")
        asked = caller(dict(request.headers).get("Authorization", ""))
        if service not in _JUDGED or asked is None:
            return None
        action, account = f"{service}:{operation}", self.who.split(":")[4]
        resource = _resource(request, asked.region, account)
        context = EvalContext(self.who, "User", account, action, resource, asked.region)
        if evaluate(context, [parse_policy_document(self.document)]).decision == "Allow":
            self.allowed.add(action)
            return None
        self.refused.append(action)
        why = f"because no identity-based policy allows the {action} action"
        text = f"User: {self.who} is not authorized to perform: {action} on resource: {resource} {why}"
        rule = Rule("error", code="AccessDeniedException", status=400, message=text)
        return rule if rule.fires(request.op, request.target, random.Random(0), 0) else None


def _resource(request: _Request, region: str, account: str) -> str:
    """Return the ARN that AWS checks an action against."""
    service, _, operation = request.op.partition(".")
    prefix = f"arn:aws:{service}:{region}:{account}"
    if operation == "DescribeLogGroups":
        return f"{prefix}:log-group::log-stream:"
    if operation == "FilterLogEvents":
        asked = json.loads(request.body)
        name = asked.get("logGroupName") or asked["logGroupIdentifier"].split(":log-group:")[-1]
        return f"{prefix}:log-group:{name}:log-stream:"
    if service == "guardduty" and operation != "ListDetectors":
        return f"{prefix}:detector/{urlsplit(request.target).path.split('/')[2]}"
    return "*"
