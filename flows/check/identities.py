"""Checks of who the collector is in AWS: this machine's clock, its keys, every role on the way."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from flows.check.finding import CheckContext, Finding, fail, of_error, ok, spread, warn
from flows.commands import trust_policy
from sources.aws.account import Account, Identity
from sources.aws.credentials import Hop
from sources.errors import IdentityAbsent, SourceError, translate
from sources.refusals import clock_skew

_REFUSED_SECONDS, _DOUBTFUL_SECONDS = 300, 60
"""AWS refuses signatures that are five minutes off."""

_UNKNOWN = "access_key is unknown to AWS, or no longer active", "give a key that exists and is active"
_SECRET = "access_secret does not belong to access_key", "copy both again, as one pair"
_EXPIRED = (
    "the keys have expired",
    "give new ones; temporary keys end by themselves: use a role or an IAM user's keys instead",
)
_KEYS: Mapping[str, tuple[str, tuple[str, str]]] = {
    "InvalidClientTokenId": ("key_unknown", _UNKNOWN),
    "InvalidAccessKeyId": ("key_unknown", _UNKNOWN),
    "UnrecognizedClientException": ("key_unknown", _UNKNOWN),
    "SignatureDoesNotMatch": ("key_secret", _SECRET),
    "InvalidSignatureException": ("key_secret", _SECRET),
    "ExpiredToken": ("key_expired", _EXPIRED),
    "ExpiredTokenException": ("key_expired", _EXPIRED),
}
"""What AWS says of a key → (code, (what, hint))."""

_OFF_CODES = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired"})
_OFF_TEXTS = ("Signature expired", "Signature not yet current", "a new session is over already")
_NO_RIGHT = "no identity-based policy allows"
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
"""What STS documents for AssumeRole's ExternalId."""
_PRINCIPAL = re.compile(r"(arn:\S+) is not authorized")


class Greeting(Struct, frozen=True):
    """How AWS answered when asked who we are. skew: seconds that this machine is ahead, None = unknown."""

    identity: Identity | None
    error: SourceError | None
    code: str
    skew: float | None

    @property
    def off(self) -> bool:
        """Whether the clock is so wrong, or AWS says so, that nothing can work."""
        said = self.error.what if self.error else ""
        told = self.code in _OFF_CODES or any(text in said for text in _OFF_TEXTS)
        return told or (self.skew is not None and abs(self.skew) >= _REFUSED_SECONDS)


def greeting(context: CheckContext, account: Account) -> Greeting:
    """Ask AWS who an identity is, once."""
    key = f"greeting {account.key}"
    if key not in context.known:
        context.known[key] = _greet(context, account)
    return cast("Greeting", context.known[key])


def arn(context: CheckContext, account: Account) -> str:
    """Return the ARN that an identity works as, for messages."""
    found = greeting(context, account).identity
    return found.arn if found else account.where


def number(context: CheckContext, account: Account) -> str:
    """Return the number of the account that an identity works in, "" when AWS does not know it."""
    found = greeting(context, account).identity
    return found.account if found else ""


def known_accounts(context: CheckContext) -> list[Account]:
    """Return the identities that AWS knows: there is no use in asking with the others."""
    return [account for account in context.accounts if greeting(context, account).identity]


def _greet(context: CheckContext, account: Account) -> Greeting:
    where = account.key
    try:
        reply = account.client("sts", "").get_caller_identity()
        identity = Identity(str(reply["Account"]), str(reply["Arn"]))
    except (ClientError, BotoCoreError, SourceError) as error:
        answer = _answer(error)
        code = str(answer.get("Error", {}).get("Code", ""))
        return Greeting(
            None, translate(error, where, "sts:GetCallerIdentity"), code, clock_skew(answer, context.now())
        )
    except KeyError:
        hollow = SourceError("the reply is hollow", where, "is there a proxy between here and AWS?")
        return Greeting(None, hollow, "", None)
    return Greeting(identity, None, "", clock_skew(reply, context.now()))


def _answer(error: BaseException | None) -> Mapping[str, Any]:
    """Return AWS's reply from inside an error, {} when there was none."""
    while error is not None:
        if isinstance(error, ClientError):
            return cast("Mapping[str, Any]", error.response)
        error = error.__cause__ or error.__context__
    return {}


def external_ids(context: CheckContext) -> Iterator[Finding]:
    """Warn of an external id that AWS's documentation excludes; whether it is refused, AWS decides."""
    given = {
        f"{one.key}.assume_role_external_id": hop.external_id for one in context.accounts for hop in one.hops
    }
    for unit in context.units:
        if unit.organization and (secret := unit.organization.directory.scope.external_id):
            given[f"input {unit.account.name}, organization.external_id"] = secret.get_secret_value()
    for where, value in given.items():
        if value and not _EXTERNAL_ID.fullmatch(value):
            what = f"AWS would refuse this external id of {len(value)} characters"
            hint = "it takes 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -; the trust policy must have the same"
            yield warn("external_id", what, where, hint)


def clock(context: CheckContext) -> Iterator[Finding]:
    """Compare this machine's clock with the one that AWS's answers tell."""
    found = [greeting(context, account) for account in context.accounts]
    skews = [one.skew for one in found if one.skew is not None]
    skew = max(skews, key=abs, default=None)
    told = "" if skew is None else f" by {abs(skew):.0f} s, {'ahead' if skew > 0 else 'behind'}"
    hint = "set it, by NTP for instance; AWS refuses signatures that are five minutes off"
    if any(one.off for one in found):
        yield fail("clock", f"this machine's clock is wrong{told}", "clock", hint)
    elif skew is not None and abs(skew) >= _DOUBTFUL_SECONDS:
        yield warn("clock", f"this machine's clock is off{told}", "clock", hint)
    elif skew is not None:
        yield ok("clock", "as AWS's, within a minute", "clock")


def identities(context: CheckContext) -> Iterator[Finding]:
    """Yield who AWS says we are, or which key or role on the way it refuses."""
    return spread(lambda account: _identity(context, account), context.accounts)


def _identity(context: CheckContext, account: Account) -> Iterator[Finding]:
    found, hops, where = greeting(context, account), account.hops, account.key
    if found.identity is None:
        yield from [] if found.off or not found.error else [_refused(found, hops)]
    elif found.identity.arn.endswith(":root"):
        hint = "make an IAM user or role with what python -m flows policy prints"
        yield warn("identity", f"works as the account's root user {found.identity.arn}", where, hint)
    else:
        way = f" by {' and '.join(hop.setting for hop in hops)}" if hops else ""
        yield ok("identity", f"works as {found.identity.arn}{way}", where)


def _refused(found: Greeting, hops: tuple[Hop, ...]) -> Finding:
    error = cast("SourceError", found.error)
    if found.code in _KEYS:
        code, (what, hint) = _KEYS[found.code]
        return fail(code, f"{what} ({found.code})", error.where, hint)
    number = next((n for n, hop in enumerate(hops) if f".{hop.setting} {hop.role}" in error.where), None)
    if number is None or "cannot be assumed" not in error.what:
        return _machine(error) if isinstance(error, IdentityAbsent) else of_error("credentials", error)
    hop, before = hops[number], hops[number - 1].role if number else ""
    way = f"hop {number + 1} of {len(hops)}: " if len(hops) > 1 else ""
    named = _PRINCIPAL.search(error.what)
    principal = named[1] if named else before or "the identity before it"
    if _NO_RIGHT in error.what:
        return fail(
            "role_permission",
            f"{way}{principal} may not assume the role {hop.role}",
            error.where,
            f"allow sts:AssumeRole for {trust_policy.principal_of(principal, before)} on {hop.role}: "
            f"add to its policy {trust_policy.line(trust_policy.right(hop.role))}",
        )
    given = "this assume_role_external_id" if hop.external_id else "no external id"
    return fail(
        "role_trust",
        f"{way}the role {hop.role} does not let {principal} assume it with {given}",
        error.where,
        "compare Principal and sts:ExternalId of its trust policy (it may also not exist: AWS says the same) "
        f"with {_trust_line(principal, before, hop)}",
    )


def _trust_line(principal: str, before: str, hop: Hop) -> str:
    who = trust_policy.principal_of(principal, before) if principal.startswith("arn:") else "${PRINCIPAL}"
    return trust_policy.line(trust_policy.trust(who, external=bool(hop.external_id)))


def _machine(error: IdentityAbsent) -> Finding:
    """Return the finding that an absent identity is; of a web identity, with the line that lets it in."""
    role, file = os.environ.get("AWS_ROLE_ARN", ""), os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    if not role or "AssumeRoleWithWebIdentity" not in error.what:
        return of_error("credentials", error)
    try:
        statement = trust_policy.web_identity(role, Path(file).read_text().strip())
    except OSError:
        statement = None
    if statement is None:
        return of_error("credentials", error)
    hint = f"compare the trust policy of {role} with {trust_policy.line(statement)}"
    return fail("role_trust", error.what, error.where, hint)
