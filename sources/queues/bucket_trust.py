"""Which of the objects that messages name are read: whoever can write to a queue can name any bucket.

configured     `buckets` of the service: names, prefixes, accounts
learnt         without it, the buckets that the queue's policy lets S3 send for (`aws:SourceArn`), where it
               can be read and lets nobody else send
neither        any bucket, as Devo's collector has it; said once a queue
never          what is no general purpose bucket (ARNs, access points, Object Lambda, directory buckets), and
               regions that botocore does not know or of another partition than the queue's
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from sources import telemetry
from sources.aws.partitions import beside
from sources.errors import Transient, translate
from sources.objects.object_ref import ObjectRef
from sources.queues.sqs import Message, Queue
from transforms.locks import Guard, guarded

ATTRIBUTES_ACTION = "sqs:GetQueueAttributes"

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""Letters of names of today, and of those that us-east-1 allowed until 2018."""

_ALIASES = ("-s3alias", "--ol-s3", "--x-s3", "--op-s3", "--table-s3", ".mrap")
"""What S3 reserves as ends of names that are access points and other kinds of buckets."""

_SOURCE = re.compile(r"arn:[\w-]+:s3:[^:]*:[^:]*:(?P<bucket>[A-Za-z0-9._*?-]+)")
_SENDS = re.compile(r"sqs:send\*?|sqs:sendmessage\*?|sqs:\*|\*", re.IGNORECASE)
_NARROWS = ("arnequals", "arnlike", "stringequals", "stringlike")
_LOOK_AGAIN_SECONDS = 60.0

_LOCKS = (Guard("_lock", ("_rules", "_asked_at")),)


class BucketRule(Struct, frozen=True):
    """Buckets to read. name: * and ? stand for what varies. prefix: of keys. account: owner, "" = any."""

    name: str = "*"
    prefix: str = ""
    account: str = ""

    def fits(self, ref: ObjectRef) -> bool:
        """Tell whether an object is in such a bucket, under the prefix."""
        return fnmatchcase(ref.bucket, self.name) and ref.key.startswith(self.prefix)


class BucketTrust:
    """Decides for each object of a message whether it is read, and whose its bucket must be. Thread-safe.

    rules: of the configuration, () = ask the queues' policies.
    """

    def __init__(self, service: str, rules: Sequence[BucketRule] = (), queues: Sequence[Queue] = ()) -> None:
        self._rules = tuple(rules)
        self._learnt = {(queue.short, queue.region): _LearntRules(service, queue) for queue in queues}

    def refusal(self, ref: ObjectRef, message: Message) -> str:
        """Return why an object is not read, "" = it is. Raises Transient while that is unknown."""
        if not _BUCKET.fullmatch(ref.bucket) or ref.bucket.endswith(_ALIASES):
            return "it is no general purpose bucket"
        if ref.region and message.region and not beside(ref.region, message.region):
            return f"region {ref.region} is not known, or not of the queue's partition"
        known = self._known(message, ref)
        if known is None or any(rule.fits(ref) for rule in known):
            return ""
        return (
            "it is not among the service's buckets" if self._rules else "the queue's policy does not name it"
        )

    def owner(self, ref: ObjectRef, message: Message) -> str:
        """Return the account that the object's bucket must be of, "" = any."""
        known = self._known(message, ref) or ()
        return next((rule.account for rule in known if rule.fits(ref)), "")

    def _known(self, message: Message, ref: ObjectRef) -> Sequence[BucketRule] | None:
        if self._rules:
            return self._rules
        learnt = self._learnt.get((message.queue, message.region))
        return learnt.rules(ref) if learnt else None


@guarded(_LOCKS)
class _LearntRules:
    """What a queue's policy says; looked at again when it does not name a bucket, at most once a minute."""

    def __init__(self, service: str, queue: Queue) -> None:
        self._service, self._queue = service, queue
        self._lock = threading.RLock()
        self._rules: tuple[BucketRule, ...] | None = None
        self._asked_at: float | None = None

    def rules(self, ref: ObjectRef) -> tuple[BucketRule, ...] | None:
        with self._lock:
            known = self._rules
            fits = known is None or any(rule.fits(ref) for rule in known)
            if self._asked_at is None or not (
                fits or self._asked_at + _LOOK_AGAIN_SECONDS > time.monotonic()
            ):
                first = self._asked_at is None
                self._rules = told_by_policy(policy_of(self._queue))
                self._asked_at = time.monotonic()
                if first and self._rules is None:
                    telemetry.buckets_open(self._service, self._queue.where)
            return self._rules


def policy_of(queue: Queue) -> str:
    """Return a queue's policy, "" when there is none or it may not be read. Raises Transient."""
    try:
        client = queue.account.client("sqs", queue.region)
        url = queue.name
        if "://" not in url:
            url = client.get_queue_url(QueueName=queue.name)["QueueUrl"]
        reply: Mapping[str, Any] = client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    except Exception as error:
        ours = translate(error, queue.where, ATTRIBUTES_ACTION)
        if isinstance(ours, Transient):
            raise ours from error
        return ""
    return str((reply.get("Attributes") or {}).get("Policy", ""))


def told_by_policy(policy: str) -> tuple[BucketRule, ...] | None:
    """Return the buckets whose notices alone a queue's policy lets in; None when others can send, too."""
    found = [_sources(statement) for statement in statements(policy) if _sends(statement)]
    if not found or None in found:
        return None
    return tuple(dict.fromkeys(rule for rules in found for rule in rules or ()))


def statements(policy: str) -> list[Mapping[str, Any]]:
    """Return the statements of a policy document, [] when it is none."""
    try:
        found = json.loads(policy or "{}").get("Statement", [])
    except (ValueError, AttributeError):
        return []
    listed = [found] if isinstance(found, dict) else found
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def open_to_all(policy: str) -> bool:
    """Tell whether a policy lets everybody send, whoever and wherever they are."""
    return any(
        _sends(statement) and _everybody(statement.get("Principal")) and not statement.get("Condition")
        for statement in statements(policy)
    )


def _everybody(principal: Any) -> bool:
    return "*" in (_many(principal.get("AWS")) if isinstance(principal, dict) else _many(principal))


def _sends(statement: Mapping[str, Any]) -> bool:
    actions = _many(statement.get("Action"))
    return statement.get("Effect") == "Allow" and (
        not actions or any(_SENDS.fullmatch(one) for one in actions)
    )


def _sources(statement: Mapping[str, Any]) -> tuple[BucketRule, ...] | None:
    """Return the buckets that a statement lets S3 send for, None when it lets others send."""
    arns = list(_conditions(statement, "aws:sourcearn"))
    matches = [_SOURCE.fullmatch(arn) for arn in arns]
    if not arns or not all(matches):
        return None
    accounts = set(_conditions(statement, "aws:sourceaccount"))
    account = accounts.pop() if len(accounts) == 1 else ""
    owner = account if account.isdigit() else ""
    return tuple(BucketRule(match["bucket"], account=owner) for match in matches if match)


def _conditions(statement: Mapping[str, Any], key: str) -> Iterator[str]:
    """Yield the values that a statement's conditions hold a key to."""
    given = statement.get("Condition")
    for operator, about in given.items() if isinstance(given, dict) else ():
        if operator.lower() in _NARROWS and isinstance(about, dict):
            for name, values in about.items():
                yield from _many(values) if name.lower() == key else ()


def _many(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]
