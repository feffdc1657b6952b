"""What a process does not take from where it was started, and whom the port of its cluster trusts."""

import os
from collections.abc import Mapping, MutableMapping, Sequence
from ipaddress import ip_address

from flows.config.errors import SettingsError

CLUSTER_PORT, NETWORK_TRUSTED = "COLLECTOR_CLUSTER_PORT", "network-trusted"
_RUNS_CODE = "whoever reaches this port runs code"
KEY_LOG, KEY_LOG_WANTED = "SSLKEYLOGFILE", "COLLECTOR_KEY_LOG"


def ignore_key_log(env: MutableMapping[str, str] = os.environ) -> str:
    """Drop the variable that lets TLS libraries write the keys of all connections to a file.

    Returns what to tell about it; "" when there is nothing, or it is asked for with COLLECTOR_KEY_LOG=1.
    """
    if KEY_LOG not in env or env.get(KEY_LOG_WANTED) == "1":
        return ""
    path = env.pop(KEY_LOG)
    hint = f"set {KEY_LOG_WANTED}=1 as well if you mean it"
    return f"{KEY_LOG} is ignored, with it anybody could read what is sent: {path}: {hint}"


def cluster_port(addresses: Sequence[str], env: Mapping[str, str] = os.environ) -> str:
    """Return what to tell about the ports of a cluster's processes, "" when there is none.

    bytewax unpickles what comes in there, from anybody. Raises SettingsError for an address that others than
    this machine's users reach, unless COLLECTOR_CLUSTER_PORT says that the network lets only its own through.
    """
    if not addresses:
        return ""
    where = f"cluster ports {', '.join(addresses)}"
    if all(_is_loopback(one.rpartition(":")[0]) for one in addresses):
        return f"{_RUNS_CODE}: {where}: every user of this machine does; `run --processes` needs no port"
    if env.get(CLUSTER_PORT) == NETWORK_TRUSTED:
        return f"{_RUNS_CODE}: {where}: it rests on the network alone that only the cluster's own reach it"
    raise SettingsError(
        f"{_RUNS_CODE}, since bytewax unpickles what comes in",
        where,
        "`run --processes` needs no port; else let a network policy keep everybody else out, and say so with "
        f"{CLUSTER_PORT}={NETWORK_TRUSTED}",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
