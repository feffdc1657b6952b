"""One TLS context for all clients that trust the same authorities.

A context of its own takes 0.7 MiB of each client, and botocore reads the file of authorities anew for each
connection, which takes more than its handshake.
"""

import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from botocore.httpsession import create_urllib3_context, get_cert_path

from sources.aws.botocore_internals import use_tls, verification

_FILES = 8
"""Of authorities, and of one file as it was: a client that was made before it changed reads it again."""


def shared(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - botocore's own shape
    """Return what verifies as botocore would: `AWS_CA_BUNDLE`, else public authorities. Raises OSError."""
    path = str(get_cert_path(verify))
    return _context(path, _stamp(path))


def share(client: Any) -> None:
    """Let a client connect with the shared context, unless it verifies nothing or that cannot be."""
    with suppress(AttributeError, OSError):
        verify = verification(client)
        if verify and client.meta.endpoint_url.startswith("https:"):
            use_tls(client, shared(verify))


def _stamp(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=_FILES)
def _context(path: str, stamp: tuple[int, int]) -> ssl.SSLContext:
    made: Any = create_urllib3_context()
    made.check_hostname, made.verify_mode = True, ssl.CERT_REQUIRED
    made.set_alpn_protocols(["http/1.1"])
    made.load_verify_locations(path)
    load, seen = made.load_verify_locations, {(path, stamp)}

    def changed(cafile: str, *_: object) -> None:
        if (now := (cafile, _stamp(cafile))) not in seen:
            load(cafile)
            seen.add(now)

    # urllib3 tells both for each connection, while other threads shake hands.
    made.load_verify_locations, made.set_alpn_protocols = changed, lambda _protocols: None
    found: ssl.SSLContext = made
    return found
