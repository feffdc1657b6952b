"""Starts what watches a running collector: pull statistics always, the status port when it is asked for."""

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flows.catalogue.service import Unit
from flows.config.load import Settings, SettingsError
from flows.process import telemetry
from flows.process.runtime import Launch
from flows.process.supervisor import Member
from flows.status import certificates, queue_depth
from flows.status.admission import hosts_of
from flows.status.event_status import EventStatus
from flows.status.group import PEERS_VARIABLE, Asked, GroupWatch, peers
from flows.status.history import STEP_SECONDS
from flows.status.liveness import GRACE_SECONDS, Liveness
from flows.status.metrics_snapshot import MetricsSnapshot, figures
from flows.status.server import Server
from flows.status.watch import Facts, Watch
from sinks.devo import Process
from sinks.errors import DeliveryError
from sinks.outputs import probe
from sinks.quarantine import counted
from sinks.settings import OutputSettings, Remote
from sources.metric_scopes import MetricScope, expected, pull_statistics
from transforms.telemetry import LOG, listen

VARIABLE = "COLLECTOR_STATUS"
STATISTICS_SECONDS = 300.0
_PULLED = ("requests_total", "events_repeated_total", "source_events_total")
_PROBE_SECONDS = (5.0, 60.0)
_MOST_PORT = 65_535


def begin(  # noqa: PLR0913, PLR0917 - a value each
    settings: Settings,
    started: Launch,
    running: Sequence[Unit],
    drain: threading.Event,
    env: Mapping[str, str],
    money: Callable[[], Mapping[str, Any]] = dict,
) -> Liveness:
    """Begin to watch; returns what sources and sinks are to be wrapped in. Call before outputs are made.

    money: tells what was spent.
    """
    timeouts = [
        one.config.connect_timeout_seconds
        for one in settings.outputs.values()
        if isinstance(one.config, Remote)
    ]
    liveness = Liveness(
        alone=started.process.count == 1, grace=max([GRACE_SECONDS, *(3 * each for each in timeouts)])
    )
    threading.Thread(target=tell_statistics, args=(drain,), name="statistics", daemon=True).start()
    threading.Thread(
        target=certificates.watch,
        args=(list(settings.outputs.values()), drain),
        name="certificates",
        daemon=True,
    ).start()
    for place in places(running):
        expected(place)
    found = env.get(VARIABLE) or settings.globals.status
    if found:
        event_status = EventStatus(liveness.beat)
        listen(event_status.hear)
        facts = Facts(
            settings.globals.name,
            _version(),
            started.process,
            places(running),
            str(settings.globals.quarantine),
            time.time(),
            counted(str(settings.globals.quarantine or "")),
            money,
        )
        outputs = list(settings.outputs.values())
        watch = Watch(facts, liveness, event_status)
        LOG.addHandler(watch.recent)
        threading.Thread(
            target=queue_depth.watch, args=(running, drain), name="queue-depth", daemon=True
        ).start()
        serve(watch, *address(found, started), outputs, drain, env)
    return liveness


def begin_group(
    settings: Settings, members: Sequence[Member], env: Mapping[str, str], drain: threading.Event
) -> Server | None:
    """Give each member a status port and serve all of them as one; None when no status is asked for.

    A member that is a cluster takes as many ports, and is asked at its first. Raises SettingsError.
    """
    found = env.get(VARIABLE) or settings.globals.status
    if not found:
        return None
    host, port = address(found, Launch(Process(0, 1), 1, None))
    asked = []
    for number, member in enumerate(members, 1):
        member.environment[VARIABLE] = f"{host}:{port + number}"
        asked.append(Asked(member.name, "127.0.0.1" if host == "0.0.0.0" else host, port + number))  # noqa: S104 - compared
    watch = GroupWatch(settings.globals.name, lambda: asked, drain)
    listen(watch.events.hear)
    try:
        server = Server(host, port, watch, hosts_of(env), everybody(settings.globals.name, env))
    except OSError as error:
        telemetry.status_unavailable(f"{host}:{port}", error)
        return None
    server.start()
    telemetry.status_opened(f"http://{host}:{port}/status")
    return server


def everybody(name: str, env: Mapping[str, str]) -> GroupWatch | None:
    """Return what shows this process and its peers together, None when none are named."""
    named = env.get(PEERS_VARIABLE, "")
    return GroupWatch(name, lambda: peers(named)) if named else None


def serve(  # noqa: PLR0913, PLR0917 - a value each
    watch: Watch,
    host: str,
    port: int,
    outputs: Sequence[OutputSettings],
    drain: threading.Event,
    env: Mapping[str, str],
) -> Server | None:
    """Open the port and answer there until the process ends; None, and a warning, when that cannot be."""
    try:
        together = everybody(watch.facts.name, env)
        server = Server(host, port, watch, hosts_of(env), together)
    except OSError as error:
        telemetry.status_unavailable(f"{host}:{port}", error)
        return None
    server.start()
    for name, job in (("status-samples", _sample), ("status-probes", _probe)):
        threading.Thread(target=job, args=(watch, outputs, drain), name=name, daemon=True).start()
    shown = f"[{host}]" if ":" in host else host
    telemetry.status_opened(f"http://{shown}:{server.server_address[1]}/status")
    return server


def address(text: str, started: Launch) -> tuple[str, int]:
    """Return host and port to listen on: `3030` and `:3030` mean loopback, `0.0.0.0:3030` everybody.

    Processes of a cluster that share this machine each take a port of their own: the first of them this one,
    the second the next one, and so on. Raises SettingsError.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    number = int(port) + _neighbours(started) if port.isascii() and port.isdigit() else -1
    if not 0 <= number <= _MOST_PORT or not _is_address(host):
        hint = "write an address of this machine and a port: 127.0.0.1:3030"
        raise SettingsError(f"status address is not usable ({text})", VARIABLE, hint)
    return host, number


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _neighbours(started: Launch) -> int:
    """Return how many processes before this one run on the same host."""
    hosts = [one.rpartition(":")[0] for one in started.addresses]
    index = started.process.index
    return hosts[:index].count(hosts[index]) if hosts else 0


def places(running: Sequence[Unit]) -> list[MetricScope]:
    """Return what the configuration collects, and where."""
    found = []
    for unit in running:
        queues = unit.options.queues(unit.service.name)
        regions = [region for region, _ in queues] if queues else unit.options.regions
        found += [
            MetricScope(unit.service.name, unit.account.name, unit.service_key, region) for region in regions
        ]
    return found


def tell_statistics(drain: threading.Event, period: float = STATISTICS_SECONDS) -> None:
    """Tell every so often what each place has pulled since, and once more when the process drains."""
    before = MetricsSnapshot({})
    while True:
        began = time.monotonic()
        ended = drain.wait(period)
        now, seconds = figures(), time.monotonic() - began
        for place in sorted(now.places()):
            labels = place._asdict()
            more = (int(now.of(name, labels) - before.of(name, labels)) for name in _PULLED)
            pull_statistics(place, seconds, *more)
        before = now
        if ended:
            return


def _sample(watch: Watch, _outputs: Sequence[OutputSettings], drain: threading.Event) -> None:
    while True:
        watch.sample()
        if drain.wait(STEP_SECONDS):
            return


def _probe(watch: Watch, outputs: Sequence[OutputSettings], drain: threading.Event) -> None:
    """Reach each output once, without an event: a quiet collector is ready too."""
    pause, most = _PROBE_SECONDS
    while not drain.wait(pause):
        missing = [one for one in outputs if not watch.event_status.output(one.name).connected]
        if not missing:
            return
        for output in missing:
            try:
                probe(output)
            except DeliveryError as error:
                watch.event_status.fail(output.name, error)
            else:
                watch.event_status.hear("connection_opened", {"output": output.name})
        pause = min(pause * 2, most)


def _version() -> str:
    try:
        return version("devo-aws-collector")
    except PackageNotFoundError:
        return "0"
