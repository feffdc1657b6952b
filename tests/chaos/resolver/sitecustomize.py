"""In the collector's process, found through PYTHONPATH: names are not found while a file exists.

The one fault that cannot be planted from outside without root. `$CHAOS_NO_NAME` names the file.
"""

import os
import socket
from pathlib import Path
from typing import Any

_resolve = socket.getaddrinfo


def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    """Resolve, or raise what the C library raises when no name server knows the name."""
    switch = os.environ.get("CHAOS_NO_NAME", "")
    if host == "localhost" and switch and Path(switch).exists():
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *rest, **more)


socket.getaddrinfo = getaddrinfo
