"""Checks of the queues: are they there, here, and can they be read without losing messages."""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from botocore.session import Session
from msgspec.structs import replace

from flows.check.finding import CheckContext, Finding, Level, denied, fail, of_error, ok, spread, warn
from flows.check.identities import arn, known_accounts, number
from flows.check.settings import SAFE_INTERVALS, queues_of
from flows.commands.iam_policy import queue_arn
from sources import refusals
from sources.aws.account import Account, required
from sources.aws.replies import call
from sources.errors import BadCredentials, Denied, Missing, SourceError, translate
from sources.queues import sqs
from sources.queues.bucket_trust import open_to_all

_WANTED = (
    *("QueueArn", "VisibilityTimeout", "RedrivePolicy", "MessageRetentionPeriod", "KmsMasterKeyId"),
    "Policy",
)
_READING = (
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"),
)
_FEW_RECEIVES, _SHORT_RETENTION = 3, 86_400
_AWS_KEY = "alias/aws/sqs"


class CheckedQueue(sqs.Queue, frozen=True):
    """A queue as the configuration names it; AWS can be asked who its account is.

    reader: who reads the objects that it announces.
    """

    account: Account
    reader: Account


def queues(context: CheckContext) -> Iterator[Finding]:
    """Look at every queue of every identity that AWS knows."""
    return spread(lambda queue: _queue(context, queue), wanted(context))


def wanted(context: CheckContext) -> list[CheckedQueue]:
    """Return the queues to look at, each once."""
    known = {account.key for account in known_accounts(context)}
    found = {
        (unit.queue_account.key, region, name): CheckedQueue(unit.queue_account, region, name, unit.account)
        for unit, region, name in queues_of(context)
        if unit.queue_account.key in known
    }
    return list(found.values())


def attributes(context: CheckContext, queue: CheckedQueue) -> Mapping[str, str]:
    """Return what `queues` has learned of a queue, {} when that is nothing."""
    found: object = context.known.get(f"queue {queue.where}", {})
    return found if isinstance(found, Mapping) else {}


def _queue(context: CheckContext, queue: CheckedQueue) -> Iterator[Finding]:
    try:
        url = _url(queue)
        found = _ask(queue, "GetQueueAttributes", QueueUrl=url, AttributeNames=list(_WANTED))
        told: Mapping[str, str] = required(found, "Attributes", queue.where)
    except Missing as error:
        if foreign := _foreign(context, queue):
            yield foreign
            return
        yield fail("queue_missing", error.what, queue.where, _elsewhere(queue) or error.hint)
    except BadCredentials as error:
        hint = f"is the region {queue.region} switched on in this account?"
        yield fail("region", error.what, queue.where, hint)
    except Denied as error:
        yield _denied(context, queue, error)
    except SourceError as error:
        yield of_error("queue", error)
    else:
        context.known[f"queue {queue.where}"] = told
        yield from _judged(context, queue, told)


def _denied(context: CheckContext, queue: CheckedQueue, error: Denied) -> Finding:
    resource = queue_arn(queue.region, queue.name, number(context, queue.account))
    looking = error.what.startswith("GetQueueAttributes")
    action = "sqs:GetQueueAttributes" if looking else "sqs:GetQueueUrl"
    found = denied(error, action, arn(context, queue.account), resource)
    foreign = _foreign(context, queue)
    if foreign and (told := refusals.read(error.what)) and not told.explicit:
        return replace(foreign, level=Level.WARN if looking else Level.FAIL)
    if not looking:
        return found
    hint = f"{found.hint}; only this check needs it, for visibility and redrive"
    return replace(found, level=Level.WARN, code="queue_attributes", hint=hint)


def _foreign(context: CheckContext, queue: CheckedQueue) -> Finding | None:
    """Return what to tell of a queue of another account that cannot be seen; None for one of our own."""
    owner = urlsplit(queue.name).path.strip("/").rpartition("/")[0] if "://" in queue.name else ""
    own = number(context, queue.account)
    if not owner or not own or owner == own:
        return None
    return fail(
        "queue_foreign",
        f"the queue is account {owner}'s, and {arn(context, queue.account)} is of {own}: its policy decides",
        queue.where,
        f"let the queue's policy allow {', '.join(_READING)} for this identity, and its own policies too; "
        "or correct the account in the URL",
    )


def _url(queue: CheckedQueue) -> str:
    if "://" in queue.name:
        return queue.name
    return str(required(_ask(queue, "GetQueueUrl", QueueName=queue.name), "QueueUrl", queue.where))


def _ask(queue: CheckedQueue, operation: str, **asked: object) -> Mapping[str, object]:
    try:
        return call(queue.account.client("sqs", queue.region), operation, asked)
    except Exception as error:
        raise translate(error, queue.where, f"sqs:{operation}") from error


def _elsewhere(queue: CheckedQueue) -> str:
    """Return a hint that names other regions with a queue of this name, "" when none can be seen."""
    if "://" in queue.name:
        return ""
    session = Session()
    every = session.get_available_regions("sqs", session.get_partition_for_region(queue.region))
    regions = [region for region in every if region != queue.region]
    found = [one.where for one in spread(lambda region: _there(queue, region), regions)]
    return f"it is in {', '.join(found)}: correct regions" if found else ""


def _there(queue: CheckedQueue, region: str) -> Iterator[Finding]:
    try:
        _url(CheckedQueue(queue.account, region, queue.name, queue.reader))
    except SourceError:  # not there, not switched on, or not to be seen: no hint then
        return
    yield ok("queue", queue.name, region)


def _judged(context: CheckContext, queue: CheckedQueue, told: Mapping[str, str]) -> Iterator[Finding]:
    visibility, least = int(told.get("VisibilityTimeout", 30)), SAFE_INTERVALS * context.interval
    yield ok("queue", f"there, {told.get('QueueArn', 'its ARN is not told')}", queue.where)
    if visibility < least:
        yield warn(
            "queue_visibility",
            f"its visibility timeout is {visibility} s, under three intervals of {context.interval:g} s",
            queue.where,
            "raise it for other readers; the collector asks for visibility_timeout_seconds at each receive",
        )
    yield from _fifo(queue)
    yield from _redrive(queue, told.get("RedrivePolicy", ""))
    retention = int(told.get("MessageRetentionPeriod", 345_600))
    if retention < _SHORT_RETENTION:
        yield warn(
            "queue_retention",
            f"it forgets messages after {retention / 3600:.1f} hours",
            queue.where,
            "raise it to days: while Devo is down the queue holds what is new",
        )
    if open_to_all(told.get("Policy", "")):
        yield warn(
            "queue_open",
            "its policy lets everybody send to it (Principal * without a condition)",
            queue.where,
            "name who sends: the Service with aws:SourceArn; whoever sends chooses what is read and deleted",
        )
    if told.get("KmsMasterKeyId") == _AWS_KEY:
        yield warn(
            "queue_key",
            f"it is encrypted with {_AWS_KEY}, with which S3, SNS and EventBridge cannot send to it",
            queue.where,
            "use SSE-SQS, or a key of your own whose policy lets the sender use it",
        )


def _fifo(queue: CheckedQueue) -> Iterator[Finding]:
    """Tell a FIFO queue's ceiling: of a group it gives ten messages, and more once those are deleted."""
    if queue.name.endswith(".fifo"):
        yield warn(
            "queue_fifo",
            f"a FIFO queue gives {sqs.LOT} messages of one message group, and more when an output has"
            " receipted them and they are deleted: some hundred a second, fewer when AWS or Devo is far away",
            queue.where,
            "use a standard queue, nothing here needs the order; or many groups",
        )


def _redrive(queue: CheckedQueue, policy: str) -> Iterator[Finding]:
    if not policy:
        yield warn(
            "queue_redrive",
            "it has no redrive policy",
            queue.where,
            "add a dead letter queue: without one a message that always fails comes back until it expires",
        )
        return
    receives = int(json.loads(policy).get("maxReceiveCount", 0))
    if receives < _FEW_RECEIVES:
        yield warn(
            "queue_redrive",
            f"its redrive policy gives up after {receives} receive{'s'[: receives != 1]}",
            queue.where,
            "raise maxReceiveCount to 5 or more: a restart or an outage costs a receive each",
        )
