"""Which services of a configuration a process runs: `--only queues|apis|NAME,…`, or COLLECTOR_ONLY.

Queues deal their messages to any number of processes; a cursor has one owner. So a configuration that many
processes run is divided: all of them read the queues, and one reads the APIs.
"""

import difflib
from collections.abc import Sequence

from flows.catalogue.service import Unit, queued
from flows.config.load import SettingsError

VARIABLE = "COLLECTOR_ONLY"
QUEUES, APIS = "queues", "apis"


def selected(running: Sequence[Unit], only: str) -> list[Unit]:
    """Return the services that `only` names, all of them when it is empty. Raises SettingsError.

    only: comma-separated; `queues`, `apis`, a service's name, or its key under `services`.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in {QUEUES, APIS} and not any(name in _names(unit) for unit in running):
            raise _unknown(name, running)
    found = [unit for unit in running if not names or _names(unit) & set(names)]
    if names and not found:
        raise SettingsError(
            f"no enabled service is of {only}", f"--only or {VARIABLE}", "enable one, or leave it out"
        )
    return found


def _names(unit: Unit) -> set[str]:
    return {unit.name, unit.service.name, unit.service_key, QUEUES if queued(unit) else APIS}


def _unknown(name: str, running: Sequence[Unit]) -> SettingsError:
    known = sorted({QUEUES, APIS}.union(*map(_names, running)))
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"name some of: {', '.join(known)}"
    return SettingsError(f"no enabled service is called {name}", f"--only or {VARIABLE}", hint)
