"""`python -m flows.status.probe`: the container's health check; 0 when `/healthz` says that it is well.

Asks the port of `COLLECTOR_STATUS` on loopback; imports nothing of the collector, to be quick.
"""

import http.client
import os
import sys

_SECONDS = 4.0
_OK = 200


def main(address: str) -> int:
    """Ask, show the answer, and return the exit code."""
    port = address.rpartition(":")[2]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        reply = connection.getresponse()
        sys.stdout.write(reply.read().decode())
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer from port {port} ({error})\n")
        return 1
    finally:
        connection.close()
    return 0 if reply.status == _OK else 1


if __name__ == "__main__":
    sys.exit(main(os.environ.get("COLLECTOR_STATUS") or "127.0.0.1:3030"))
