"""What the strict AWS knows: who may what, whose each bucket is, and how each KMS key is."""

import threading
from enum import StrEnum
from typing import Any

from msgspec import Struct


class KeyState(StrEnum):
    """How a KMS key is; whatever is not enabled decrypts nothing."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    PENDING_IMPORT = "PendingImport"
    ABSENT = "absent"


class Person(Struct, frozen=True):
    """Who signs with a key: an ARN, and the policy document that is attached to it."""

    arn: str
    document: dict[str, Any]

    @property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]


class StrictBucket(Struct):
    """A bucket. region: "" = wherever it is asked. account: the owner's, "" = the asker's own.

    policy: a bucket policy, which must allow what another account asks. requester_pays: others must say that
    they pay. redirect: how a wrong region is told: 301, 307 or 400.
    """

    region: str = ""
    account: str = ""
    policy: dict[str, Any] | None = None
    requester_pays: bool = False
    redirect: int = 301


class StrictState:
    """All of it. Thread-safe as far as it is asked; tests change it between requests.

    people: by access key; other keys are let through. keys: KMS key's ARN → its state. queue_keys: queue's
    name → ARN of its key. storage: (bucket, key) → storage class. refused: (action, resource), in order.
    """

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.buckets: dict[str, StrictBucket] = {}
        self.keys: dict[str, KeyState] = {}
        self.queue_keys: dict[str, str] = {}
        self.storage: dict[tuple[str, str], str] = {}
        self.refused: list[tuple[str, str]] = []
        self.allowed: set[str] = set()
        self._lock = threading.Lock()

    def note(self, need: "Need", *, allowed: bool) -> None:
        """Note what was asked for and whether it was allowed."""
        with self._lock:
            if allowed:
                self.allowed.add(need.action)
            else:
                self.refused.append((need.action, need.resource))


class Need(Struct, frozen=True):
    """A permission that a request needs. spelled: the action as the service tells it in a refusal."""

    action: str
    resource: str
    region: str = ""
    spelled: str = ""
