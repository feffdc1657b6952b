"""SIGHUP: the configuration is read anew, what is in hand is delivered, and the process goes on with it.

    wrong file    nothing changes; log, metric and status page say why
    right file    drain as on SIGTERM, then the program is executed anew: the same process id, the same state

What was found to be right is what is begun with, however the file changes meanwhile. Where nothing can be
begun with it all the same (a port that is taken, cursors that another process has), the process goes on with
what was in force before. The signal is blocked in every thread but the one that waits for it, so it ends no
process that is about to be executed: it waits there.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from prometheus_client import REGISTRY

from flows.config.errors import SettingsError, SettingsErrors
from flows.config.held import Held, copied, held, hold, listening
from flows.process import service_manager, telemetry
from flows.process.runtime import Drain, launch
from transforms.errors import CollectorError

_STDERR = 2
_BEGUN = "collector_epoch_timestamp_seconds"


class Reload:
    """What a process does on SIGHUP. config: its file. validate: loads it; raises CollectorError.

    To be made before any thread is.
    """

    def __init__(self, config: Path, validate: Callable[[], object]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        self._beats = service_manager.Beats()
        self._environment = dict(os.environ)
        self._config, self._validate = config, validate
        self._terminal, self._wanted, self._drain = os.isatty(_STDERR), False, Drain()
        known = held()
        if known is None or known.owner != os.getpid() or known.path != str(config):
            hold(Held(str(config), _copied(config)))
        else:
            _inherit(known, inheritable=False)

    def life(self, run: Callable[[], int]) -> int:
        """Run until the end; does not return where the process goes on with another configuration."""
        try:
            code = run()
        except (CollectorError, SystemExit) as error:
            if not self._due:
                self._go_back(error)
                raise
            code = 0  # what could not be delivered is not acknowledged: the next life has it again
        if self._due:
            self._execute()
        return code

    def listen(self, drain: Drain, unwell: Callable[[], str] = str) -> None:
        """Wait for the signal from now on; to be called once log and status are there. drain: it sets it.

        unwell: why the process is not well, "" = it is.
        """
        now, self._drain = held(), drain
        for address, unused in (now.ports if now else {}).items():
            if address not in listening():
                os.close(unused)
        telemetry.configuration_taken(again=bool(now and now.before >= 0))
        if now and now.refused:
            telemetry.reload_refused(SettingsError(*now.refused))
        threading.Thread(target=self._wait, name="reload", daemon=True).start()
        self._beats.begun(unwell)

    @property
    def _due(self) -> bool:
        return self._wanted and not self._drain.asked

    def _wait(self) -> None:
        while not self._wanted:
            signal.sigwait({signal.SIGHUP})
            if self._terminal and not os.isatty(_STDERR):  # it was closed, as SIGHUP says there
                os.kill(os.getpid(), signal.SIGTERM)
                return
            service_manager.reloading()
            try:
                self._take()
            except CollectorError as error:
                telemetry.reload_refused(SettingsError(*_first(error)))
                service_manager.notify(service_manager.READY)
            else:
                telemetry.reload_begun(str(self._config))
                self._wanted = True
                self._drain.set()

    def _take(self) -> None:
        """Hold what is in the file now, if it is right."""
        if launch().process.count > 1:
            hint = "replace its pods or restart them: all processes of a cluster begin together"
            raise SettingsError("a process of a cluster cannot begin again alone", "SIGHUP", hint)
        before = held()
        now = _copied(self._config)
        try:
            hold(Held(str(self._config), now, before=before.now if before else -1))
            self._validate()
        except CollectorError:
            os.close(now)
            if before:
                hold(before)
            raise

    def _go_back(self, error: BaseException) -> None:
        """Go on with what was in force before, if nothing could be begun with this. Returns if it could."""
        now = held()
        if now is None or now.before < 0 or self._drain.asked or REGISTRY.get_sample_value(_BEGUN):
            return
        why = error if isinstance(error, CollectorError) else error.__context__
        told = _first(why) if isinstance(why, CollectorError) else ("it ended", str(self._config), "")
        hold(Held(now.path, now.before, refused=told))
        self._execute()

    def _execute(self) -> None:
        now = held()
        if now is None:
            return
        kept = replace(now, ports=listening(finish=True))
        _inherit(kept, inheritable=True)
        os.environ.clear()
        os.environ.update(self._environment)
        hold(kept)
        service_manager.notify(service_manager.ALIVE)  # next by the program that is executed
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - ourselves


def _inherit(what: Held, *, inheritable: bool) -> None:
    for one in (what.now, what.before, *what.ports.values()):
        if one >= 0:
            os.set_inheritable(one, inheritable)


def _copied(config: Path) -> int:
    try:
        return copied(config)
    except OSError as error:
        hint = f"put it back ({error.strerror})"
        raise SettingsError("configuration cannot be read", str(config), hint) from error


def _first(error: CollectorError) -> tuple[str, str, str]:
    """Return the first of several errors, with how many there are more."""
    if not isinstance(error, SettingsErrors):
        return error.what, error.where, error.hint
    one = error.errors[0]
    return f"{one.what} (and {len(error.errors) - 1} more)", one.where, one.hint
