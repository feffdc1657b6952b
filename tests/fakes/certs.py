"""Throw-away certificates for tests: an authority, a server for loopback, a client; bad ones on demand."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certs:
    """PEM files. ca: the chain that both sides trust. The keys are readable by their owner only."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certs(
    folder: Path,
    *,
    server_names: tuple[str, ...] = ("127.0.0.1", "localhost"),
    client_name: str = "collector@test.devo",
    server_expired: bool = False,
    client_expired: bool = False,
) -> Certs:
    """Write the files of a new authority to `folder` (made when missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    certs = Certs(*(folder / name for name in names))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(certs.ca)
    server = authority.issue_cert(*server_names, not_after=_end(expired=server_expired))
    client = authority.issue_cert(client_name, not_after=_end(expired=client_expired))
    _write(server, certs.server_cert, certs.server_key)
    _write(client, certs.client_cert, certs.client_key)
    return certs


def _end(*, expired: bool) -> datetime | None:
    return datetime.now(UTC) - timedelta(days=1) if expired else None


def _write(issued: trustme.LeafCert, cert: Path, key: Path) -> None:
    cert.unlink(missing_ok=True)
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(cert, append=number > 0)
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
