"""A TLS receiver that costs little: reads large blocks, counts newlines, answers close_notify.

python -m tests.bench.receiver CERTS PORT_FILE COUNT_FILE: runs until killed.

COUNT_FILE tells the lines so far.
"""

import os
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_TELL_SECONDS = 0.01


class Count:
    """Lines of all connections so far."""

    def __init__(self) -> None:
        self._lock, self.lines = threading.Lock(), 0

    def add(self, lines: int) -> None:
        with self._lock:
            self.lines += lines


def serve(context: ssl.SSLContext, raw: socket.socket, count: Count) -> None:
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        connection = context.wrap_socket(raw, server_side=True)
        while size := connection.recv_into(buffer):
            count.add(bytes(view[:size]).count(b"\n"))
        connection.unwrap().close()
    except OSError:
        raw.close()


def tell(count: Count, out: Path) -> None:
    """Keep the file at what has arrived; whole at any moment."""
    told, draft = -1, out.with_suffix(".new")
    while True:
        if (now := count.lines) != told:
            draft.write_text(str(now))
            os.replace(draft, out)  # noqa: PTH105 - as plain as it can be
            told = now
        time.sleep(_TELL_SECONDS)


def main() -> None:
    certs, port_file, out = map(Path, sys.argv[1:])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "server.pem")
    context.load_verify_locations(certs / "chain.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    count = Count()
    threading.Thread(target=tell, args=(count, out), daemon=True).start()
    port_file.write_text(str(listener.getsockname()[1]))
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(context, raw, count), daemon=True).start()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
