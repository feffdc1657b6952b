"""A TLS receiver that costs little: reads large blocks, counts newlines, answers close_notify.

python -m tests.bench.receiver CERTS PORT_FILE COUNT_FILE: runs until killed; COUNT_FILE tells the lines.
"""

import socket
import ssl
import sys
import threading
from pathlib import Path


def serve(
    context: ssl.SSLContext, raw: socket.socket, total: list[int], lock: threading.Lock, out: Path
) -> None:
    buffer = bytearray(1 << 20)
    view, lines = memoryview(buffer), 0
    try:
        connection = context.wrap_socket(raw, server_side=True)
        while size := connection.recv_into(buffer):
            lines += bytes(view[:size]).count(b"\n")
        connection.unwrap().close()
    except OSError:
        raw.close()
    with lock:
        total[0] += lines
        out.write_text(str(total[0]))


def main() -> None:
    certs, port_file, out = map(Path, sys.argv[1:])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "server.pem")
    context.load_verify_locations(certs / "chain.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    port_file.write_text(str(listener.getsockname()[1]))
    total, lock = [0], threading.Lock()
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(context, raw, total, lock, out), daemon=True).start()


if __name__ == "__main__":
    main()
