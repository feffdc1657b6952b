"""The connections of one boto3 client: what it would verify with, wait for and go through."""

import base64
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from botocore.utils import get_environ_proxies

from sources.aws.botocore_internals import verification
from sources.aws.signed.authorities import shared
from sources.aws.signed.wire import IDLE_SECONDS, Wire, WireEndpoint
from transforms.locks import Guard, guarded

_HOSTS = 64
"""Endpoints with connections; those of the one longest unused are closed. S3 has one for each bucket."""

VARIABLE = "COLLECTOR_BOTO3"
"""Of the environment: 1 = boto3 makes every call."""

_LOCKS = (Guard("_lock", ("_wires", "_trimmed")),)


@guarded(_LOCKS)
class Hosts:
    """Wires by endpoint. Thread-safe.

    Raises AttributeError for a botocore that this was not written for, and where boto3 shall make every call.
    """

    def __init__(self, client: Any, env: Mapping[str, str] = os.environ) -> None:
        if env.get(VARIABLE) == "1":
            raise AttributeError(VARIABLE)
        self._config, self._verify = client.meta.config, verification(client)
        self._wires: OrderedDict[str, Wire] = OrderedDict()
        self._trimmed = time.monotonic()
        self._lock = threading.RLock()

    def wire(self, base: str) -> Wire:
        """Return what leads to `scheme://host[:port]`. Raises ValueError for a way that only boto3 knows."""
        with self._lock:
            found = self._wires.get(base)
            if found is None:
                found = self._wires[base] = Wire(self._endpoint(urlsplit(base)))
                if len(self._wires) > _HOSTS:
                    self._wires.popitem(last=False)
            self._wires.move_to_end(base)
            self._trim()
            return found

    def _trim(self) -> None:
        """Close connections of hosts that nobody asks any more: AWS has closed them long ago."""
        with self._lock:
            if time.monotonic() - self._trimmed > IDLE_SECONDS:
                self._trimmed = time.monotonic()
                for one in self._wires.values():
                    one.trim()

    def _endpoint(self, url: SplitResult) -> WireEndpoint:
        tls = None
        if url.scheme == "https":
            tls = shared(self._verify)
        port = url.port or (443 if tls else 80)
        proxy = _proxy(url.geturl(), tunnel=tls is not None)
        timeouts = self._config.connect_timeout, self._config.read_timeout
        return WireEndpoint(url.hostname or "", port, tls, *timeouts, proxy)


def _proxy(url: str, *, tunnel: bool) -> tuple[str, int, str] | None:
    """Return the proxy that the environment names for a URL, as botocore finds it."""
    named = get_environ_proxies(url).get(urlsplit(url).scheme)
    if not named:
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    if not tunnel or proxy.scheme != "http" or not proxy.hostname:
        raise ValueError("boto3 knows other proxies than plain ones before TLS")
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
    by = f"Basic {base64.b64encode(user.encode()).decode()}" if user else ""
    return proxy.hostname, proxy.port or 80, by
