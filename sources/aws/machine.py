"""What identity this machine gives at the moment: botocore's default chain, asked anew each time.

botocore looks once, when a client is made: a role that is attached a minute later, a rotated file, another
profile or token are never seen. Here a session of its own looks each time that keys are needed: environment,
web identity, SSO, profiles and files, `credential_process`, container credentials, the instance's metadata.
"""

import os
from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from sources.aws.botocore_internals import end_of
from sources.aws.renewal import SessionKeys
from sources.aws.sessions import new_session
from sources.errors import IdentityAbsent, SourceError, Transient, translate

_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
"""Of the calls to STS and SSO that the chain makes itself."""

_LONGEST = 500

_SOURCES: tuple[tuple[str, str], ...] = (
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "see that {} holds a valid token, and that AWS_ROLE_ARN's trust policy names its issuer and subject",
    ),
    ("AWS_PROFILE", "see that the profile {} is in ~/.aws and complete, and its login not over"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "see why {} gives none: is a role associated with the pod?"),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "see why the container agent gives none at {}: has the task a role?",
    ),
)
"""Variable that says where this machine's identity comes from → what to look at."""

_ANYWHERE = (
    "give credentials, or run on a machine with a role; on EC2 see that the instance has one, and for "
    "containers there that the hop limit of its metadata is 2 or more"
)
_AGAIN = "it is asked again for ever"


def machine_keys(where: str, region: str) -> SessionKeys:
    """Return the keys that this machine gives now; raises SourceError, `where` as its cause.

    region: where STS is asked when the machine says none.
    """
    try:
        session = new_session()
        if not session.get_config_variable("region"):
            session.set_config_variable("region", region)
        session.set_default_client_config(_CONFIG)
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except Exception as error:  # a file that is not there, a process that prints no JSON: botocore raises all
        raise _of_chain(error, where) from error
    if frozen is None or not frozen.access_key:
        raise IdentityAbsent("this machine gives no credentials", where, hint_for(os.environ), cause=where)
    return SessionKeys(frozen.access_key, frozen.secret_key, frozen.token or "", end_of(found))


def hint_for(environ: Mapping[str, str]) -> str:
    """Return what to look at when this machine gives no credentials: what it is told to get them from."""
    looked = next((hint.format(environ[name]) for name, hint in _SOURCES if environ.get(name)), _ANYWHERE)
    return f"{looked}; {_AGAIN}"


def _of_chain(error: Exception, where: str) -> SourceError:
    known = translate(error, where, "sts:AssumeRoleWithWebIdentity")
    if isinstance(known, Transient):
        return type(known)(known.what, where, known.hint, cause=where)
    what = known.what if isinstance(error, ClientError) else f"{type(error).__name__} {error}"
    return IdentityAbsent(_line(what), where, hint_for(os.environ), cause=where)


def _line(text: Any) -> str:
    return " ".join(str(text).split())[:_LONGEST]
