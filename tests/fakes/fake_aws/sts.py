"""Sessions that end, external ids that must fit: what moto does not check of STS and of each call's token."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from flows.demo.wire import Reply, caller
from tests.fakes.fake_aws.control import error_reply
from tests.fakes.fake_aws.core import CLOCK, LOCK, Refusal, error_class, replace_method

_CHAINED_SECONDS = 3600
_SHORTEST, _LONGEST = 900, 43_200
_LONG_CODES = {"guardduty": 403, "logs": 400, "cloudtrail": 400, "events": 400, "kms": 400}
"""Services whose error codes end in …Exception, with the status that they answer."""

_SHORT_STATUS = {"s3": 400}
_KEY = re.compile(r"Credential=([^/]+)/")

limits = {"shortest": _SHORTEST}
"""A test may allow sessions shorter than AWS does: `limits["shortest"] = 1`."""


def check(headers: Mapping[str, str]) -> Reply | None:
    """Return the refusal of a call made with a temporary key, in its service's own code; None if it is good.

    headers: in lower case. Keys that do not begin with ASIA are not looked at.
    """
    who = caller(headers.get("authorization", ""))
    if not who or not who.key.startswith("ASIA"):
        return None
    with LOCK:
        session = next((one for one in _sessions() if one.access_key_id == who.key), None)
    if session is None or headers.get("x-amz-security-token") != session.session_token:
        return _refused(who.service, expired=False)
    return _refused(who.service, expired=True) if session.expiration <= _moment(CLOCK.now()) else None


def _refused(service: str, *, expired: bool) -> Reply:
    if service in _LONG_CODES:
        status = _LONG_CODES[service]
        code = "ExpiredTokenException" if expired else "UnrecognizedClientException"
    else:
        status = _SHORT_STATUS.get(service, 403)
        bad = "InvalidToken" if service == "s3" else "InvalidClientTokenId"
        code = "ExpiredToken" if expired else bad
    word = "expired" if expired else "invalid"
    return error_reply(service, status, code, f"The security token included in the request is {word}")


def expire_sessions() -> int:
    """End every session that there is now; returns how many."""
    with LOCK:
        sessions = list(_sessions())
        for session in sessions:
            session.expiration = _moment(CLOCK.now() - 1)
    return len(sessions)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _sessions() -> Iterator[Any]:
    from moto.sts.models import sts_backends  # noqa: PLC0415 - moto is slow to import

    for account in list(sts_backends.values()):
        for backend in list(account.values()):
            yield from list(backend.assumed_roles)


def _check_assume(role_arn: str, external_id: str | None, seconds: int, headers: Mapping[str, str]) -> None:
    """Raise what AWS answers to a role that is missing or not to be assumed like this."""
    from moto.iam.models import iam_backends  # noqa: PLC0415 - moto is slow to import

    denied = Refusal("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {role_arn}")
    backend = iam_backends[role_arn.split(":")[4]]["aws"]
    role = next((one for one in backend.roles.values() if one.arn == role_arn), None)
    if role is None:
        raise denied
    if not limits["shortest"] <= seconds <= _LONGEST:
        raise Refusal(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' is out of range",
        )
    key = _KEY.search(headers.get("Authorization") or "")
    if key and key[1].startswith("ASIA") and seconds > _CHAINED_SECONDS:
        raise Refusal(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit of role chaining",
        )
    if not _trusted(role.assume_role_policy_document, external_id):
        raise denied


def _trusted(document: str | Mapping[str, Any], external_id: str | None) -> bool:
    """Tell whether a trust policy has a statement that this external id satisfies."""
    policy = json.loads(document) if isinstance(document, str) else document
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    wanted = [
        one.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")
        for one in statements
        if one.get("Effect") == "Allow"
    ]
    return any(want is None or external_id in (want if isinstance(want, list) else [want]) for want in wanted)


def extend() -> None:
    """Install the checks in moto's AssumeRole."""
    from moto.core.exceptions import AccessDeniedError  # noqa: PLC0415 - moto is slow to import
    from moto.sts.models import STSBackend  # noqa: PLC0415
    from moto.sts.responses import TokenResponse  # noqa: PLC0415

    answer, assume, error = TokenResponse.assume_role, STSBackend.assume_role, error_class("sts")

    def checked(self: Any) -> Any:
        seconds = self._get_int_param("DurationSeconds", _CHAINED_SECONDS)
        arn, external_id = self._get_param("RoleArn"), self._get_param("ExternalId")
        try:
            _check_assume(arn, external_id, seconds, self.headers)
        except Refusal as refusal:
            if refusal.code == "AccessDenied":
                raise AccessDeniedError("", f"sts:AssumeRole on resource: {arn}") from None
            raise error(refusal.code, refusal.message) from None
        return answer(self)

    def by_our_clock(self: Any, **given: Any) -> Any:
        role = assume(self, **given)
        role.expiration = _moment(CLOCK.now() + given["duration"])
        return role

    replace_method(TokenResponse, "assume_role", checked)
    replace_method(STSBackend, "assume_role", by_our_clock)
