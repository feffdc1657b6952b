"""What a process does not take from the environment that it was started in."""

import os
from collections.abc import MutableMapping

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
