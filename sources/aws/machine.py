"""What identity this machine gives at the moment: botocore's default chain, asked anew each time.

botocore looks once, when a client is made: a role that is attached a minute later, a rotated file, another
profile or token are never seen. Here a session of its own looks each time that keys are needed: environment,
web identity, SSO, profiles and files, `credential_process`, container credentials, the instance's metadata.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
)
from botocore.session import Session

from sources.aws.botocore_internals import end_of, run_processes_by
from sources.aws.renewal import SessionKeys
from sources.aws.sessions import new_session
from sources.errors import IdentityAbsent, SourceError, Transient, translate

_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
"""Of the calls to STS and SSO that the chain makes itself."""

PROCESS_SECONDS = 60.0
"""Longest that a `credential_process` may take."""

_LONGEST, _MOST_PRINTED = 500, 1 << 16

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
    "give credentials, or run on a machine with a role; on EC2 see that the instance has one (its "
    "/latest/meta-data/iam/info says why not), and for containers there that the hop limit of its metadata "
    "is 2 or more"
)
_PROFILE_ROLE = frozenset({"role_arn", "source_profile", "credential_source"})

_SECRET = re.compile(
    r"""(?ix) ( (?:secret|token|password|credential|key) \w* ["']? \s* [:=] \s* ["']? ) [^\s"',]+
    | [a-z0-9+/=]{40,}"""
)
"""What a `credential_process` may print when it fails, and what is shown instead."""
_AGAIN = "it is asked again for ever"


def machine_keys(where: str, region: str) -> SessionKeys:
    """Return the keys that this machine gives now; raises SourceError, `where` as its cause.

    region: where STS is asked when the machine says none.
    """
    session = new_session()
    try:
        if not session.get_config_variable("region"):
            session.set_config_variable("region", region)
        session.set_default_client_config(_CONFIG)
        run_processes_by(session, BoundedProcess)
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except Exception as error:  # a file that is not there, a process that prints no JSON: botocore raises all
        raise _of_chain(error, where, session) from error
    if found is None or frozen is None or not frozen.access_key:
        raise IdentityAbsent("this machine gives no credentials", where, hint_for(os.environ), cause=where)
    return SessionKeys(frozen.access_key, frozen.secret_key, frozen.token or "", end_of(found))


class BoundedProcess(subprocess.Popen[bytes]):
    """A `credential_process` that must answer in time and in few bytes: all that sign wait for it."""

    def __init__(self, command: list[str], **more: Any) -> None:
        super().__init__(command, start_new_session=True, **more)  # with what it starts itself

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002, ARG002
        """Return what it printed; one that takes too long, or prints too much, is ended."""
        until = time.monotonic() + (timeout or PROCESS_SECONDS)
        said = {stream: bytearray() for stream in (self.stdout, self.stderr) if stream}
        with ExitStack() as open_ones, DefaultSelector() as ready:
            for stream in said:
                ready.register(open_ones.enter_context(stream), EVENT_READ)
            while ready.get_map():
                for key, _ in ready.select(max(0.0, until - time.monotonic())):
                    data = os.read(key.fd, _MOST_PRINTED)
                    said[key.fileobj] += data  # type: ignore[index]
                    if not data:
                        ready.unregister(key.fileobj)
                if sum(map(len, said.values())) > _MOST_PRINTED:
                    self._end(f"more than {_MOST_PRINTED} bytes printed")
                if time.monotonic() >= until:
                    self._end(f"no answer within {PROCESS_SECONDS:g} s")
            try:
                self.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._end(f"no end within {PROCESS_SECONDS:g} s")
        return tuple(map(bytes, said.values()))  # type: ignore[return-value]

    def _end(self, told: str) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.wait(5)
        raise CredentialRetrievalError(provider="custom-process", error_msg=told) from None


def hint_for(environ: Mapping[str, str]) -> str:
    """Return what to look at when this machine gives no credentials: what it should get them from."""
    looked = next((hint.format(environ[name]) for name, hint in _SOURCES if environ.get(name)), _ANYWHERE)
    return f"{looked}; {_AGAIN}"


def _of_chain(error: Exception, where: str, session: Session) -> SourceError:
    known = translate(error, where, "sts:AssumeRoleWithWebIdentity")
    if isinstance(known, Transient):
        return type(known)(known.what, where, known.hint, cause=where)
    what = known.what if isinstance(error, ClientError) else f"{type(error).__name__} {error}"
    return IdentityAbsent(_line(what), where, _hint_of(error, session), cause=where)


def _hint_of(error: Exception, session: Session) -> str:
    """Return what to look at, by what has failed where that is known."""
    if isinstance(error, SSOError | TokenRetrievalError):
        return f"log in again, by `aws sso login`; {_AGAIN}"
    try:
        profile = session.get_scoped_config()
    except BotoCoreError:  # its file cannot be read, or there is no such profile
        profile = {}
    if "credential_process" in profile or "custom-process" in str(error):
        return f"see that the profile's credential_process prints what it should; {_AGAIN}"
    if profile.keys() & _PROFILE_ROLE and hint_for(os.environ).startswith(_ANYWHERE):
        return f"see in ~/.aws/config that the role of the profile stands on one that is there; {_AGAIN}"
    return hint_for(os.environ)


def _line(text: Any) -> str:
    return _SECRET.sub(lambda found: f"{found[1] or ''}…", " ".join(str(text).split()))[:_LONGEST]
