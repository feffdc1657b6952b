"""A small Devo: a TLS receiver with client certificates that hands on what arrives.

It answers close_notify, as Devo's receivers do: that answer is the delivery receipt.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

_READ_BYTES = 1 << 18


class Certificates(Struct, frozen=True):
    """PEM files of one throw-away authority, a server for 127.0.0.1 and a client."""

    chain: Path
    server: Path
    cert: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write a new authority's certificates to `folder`; keys are readable by the owner only."""
    import trustme  # noqa: PLC0415 - of the extra: what is missing of it is told in one line before

    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("collector@demo.devo")
    made = Certificates(*(folder / name for name in ("chain.crt", "server.pem", "demo.crt", "demo.key")))
    authority.cert_pem.write_to_path(made.chain)
    server.private_key_and_cert_chain_pem.write_to_path(made.server)
    client.cert_chain_pems[0].write_to_path(made.cert)
    client.private_key_pem.write_to_path(made.key)
    for secret in (made.server, made.key):
        secret.chmod(0o600)
    return made


class DemoReceiver:
    """Listens on a free loopback port and calls `arrive(tag, message)` for each event, in several threads."""

    def __init__(self, certificates: Certificates, arrive: Callable[[str, bytes], None]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificates.server)
        self._context.load_verify_locations(certificates.chain)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._arrive = arrive
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="demo-receiver", daemon=True).start()

    def close(self) -> None:
        """Stop listening; open connections end with the process."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:  # closed by `close`
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            raw.getpeername()  # of one that is reset already, `wrap_socket` would lose the descriptor
            with self._context.wrap_socket(raw, server_side=True) as connection:
                self._read(connection)
                connection.unwrap().close()
        except (ssl.SSLError, OSError):
            raw.close()  # a broken connection has no receipt: the collector sends again

    def _read(self, connection: ssl.SSLSocket) -> None:
        rest = b""
        while data := connection.recv(_READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._arrive(*parse(line))


def parse(line: bytes) -> tuple[str, bytes]:
    """Return tag and message of a line: `<14>Jan  1 00:00:00 HOST TAG: MESSAGE`."""
    head, _, message = line.partition(b": ")
    return head.rpartition(b" ")[2].decode(errors="replace"), message
