"""devo-sdk as its users run it, one send() per line.

python -m tests.bench.peers.devo_sdk FOLDER CERTS PORT
"""

import gzip
import sys
from contextlib import suppress
from pathlib import Path

from devo.sender import Sender, SenderConfigSSL
from devo.sender.data import DevoSenderException


def main() -> None:
    folder, certs, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    files = {"key": certs / "demo.key", "cert": certs / "demo.crt", "chain": certs / "chain.crt"}
    sender = Sender(SenderConfigSSL(("127.0.0.1", port), **{name: str(path) for name, path in files.items()}))
    for path in sorted(folder.rglob("*.gz")):
        with gzip.open(path) as stream:
            next(stream)  # the header
            for line in stream:
                sender.send(tag=b"cloud.aws.vpc.flow", msg=line.rstrip(b"\n"), hostname=b"bench-host")
    sender.flush_buffer()
    with suppress(DevoSenderException):
        sender.close()


if __name__ == "__main__":
    main()
