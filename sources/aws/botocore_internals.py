"""botocore's private attributes, all of them: what it offers no public way for.

They hold for the versions in `KNOWN`; `tests/sources/aws/test_botocore_internals.py` tries them, and names
the one that is gone. No other module touches a private attribute of botocore, boto3 or urllib3 (house rule).
"""

from datetime import UTC, datetime
from typing import Any

KNOWN = "1.43"
"""Series of botocore that these attributes were last seen in, all of them."""


def signing_credentials(client: Any) -> Any:
    """Return the credentials that a client signs with: they renew themselves. Raises AttributeError."""
    return client._request_signer._credentials  # noqa: SLF001


def http_session(client: Any) -> Any:
    """Return what holds a client's connections, with its proxy, CA and timeouts. Raises AttributeError."""
    return client._endpoint.http_session  # noqa: SLF001


def expire(credentials: Any) -> None:
    """Let refreshable credentials be fetched anew by the next signature."""
    credentials._expiry_time = datetime.fromtimestamp(0, UTC)  # noqa: SLF001


def refresh_before_end(credentials: Any, advisory_seconds: int, mandatory_seconds: int) -> None:
    """Let refreshable credentials be fetched that long before they end: by one thread, and by all."""
    credentials._advisory_refresh_timeout = advisory_seconds  # noqa: SLF001
    credentials._mandatory_refresh_timeout = mandatory_seconds  # noqa: SLF001
