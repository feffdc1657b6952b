"""botocore's private attributes, all of them: what it offers no public way for.

They hold for the versions in `KNOWN`; `tests/sources/aws/test_botocore_internals.py` tries them, and names
the one that is gone. No other module touches a private attribute of botocore, boto3 or urllib3 (house rule).
"""

import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.credentials import RefreshableCredentials
from urllib3.response import HTTPResponse

KNOWN = "1.43"
"""Series of botocore that these attributes were last seen in, all of them."""


def signing_credentials(client: Any) -> Any:
    """Return the credentials that a client signs with: they renew themselves. Raises AttributeError."""
    return client._request_signer._credentials  # noqa: SLF001


def verification(client: Any) -> bool | str:
    """Return what a client verifies servers with: True = the public authorities. Raises AttributeError."""
    found: bool | str = client._endpoint.http_session._verify  # noqa: SLF001
    return found


def use_tls(client: Any, context: ssl.SSLContext) -> None:
    """Let a client connect with a context, but not through a proxy. Raises AttributeError."""
    client._endpoint.http_session._manager.connection_pool_kw["ssl_context"] = context  # noqa: SLF001


def run_processes_by(session: Any, popen: Callable[..., Any]) -> None:
    """Let a session start the `credential_process` of its profile by `popen`; no harm where it does not."""
    provider = session.get_component("credential_provider").get_provider("custom-process")
    provider._popen = popen  # noqa: SLF001


def end_of(credentials: Any) -> datetime | None:
    """Return when credentials end, aware; None for keys that never do."""
    if not isinstance(credentials, RefreshableCredentials):
        return None
    ends: datetime | None = credentials._expiry_time  # noqa: SLF001
    return ends


class OneReceive:
    """A reply's stream that reads what one receive brings: a drip is seen, and not waited for."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.close = raw.close

    def read(self, amt: int | None = None) -> bytes:
        """Return at most so many bytes and at least one, b"" at the end; all of them when none are named."""
        data: bytes = self._raw.read() if amt is None else self._raw.read1(amt)
        return data


def receive_at_once(body: Any) -> None:
    """Let a body that botocore has opened read what one receive brings; another kind is left alone."""
    raw = getattr(body, "_raw_stream", None)
    if isinstance(raw, HTTPResponse):
        body._raw_stream = OneReceive(raw)  # noqa: SLF001
