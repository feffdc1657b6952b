"""SIGHUP while events flow: the process goes on with the new file, a wrong one changes nothing; 0 lost."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from tests.fakes.collector import Launch, configuration, output, services, settle, verdict
from tests.fakes.corpus import corpus, expected
from tests.fakes.process import HOST, wait_until
from tests.fakes.receivers import running

BAD = "inputs: [\n"
PATIENCE = 60.0


class Probes:
    """Asks the status port without a pause. codes: status of each answer by path, 0 = none."""

    def __init__(self, port: int) -> None:
        self.port, self.codes, self.ended = port, {"/healthz": set(), "/readyz": set()}, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=20) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, repr(error)

    def _ask(self) -> None:
        while not self.ended.wait(0.1):
            for path, codes in self.codes.items():
                codes.add(self.get(path)[0])


def storm(stage, launch: Launch, reloads: int, *, bad_every: int) -> None:
    """Reload again and again, some files wrong, while objects come; then compare what has arrived."""
    site = stage.site()
    samples = corpus({"vpc": reloads, "cloudtrail": reloads})
    due = expected(samples, auto=False)
    port = 20_000 + os.getpid() % 10_000  # with its neighbours, not of those that clients are given
    probes = Probes(port)
    for receiver in running("rsyslog", stage.folder / "receiver", stage.certs):

        def settings(number: int, receiver=receiver):
            return configuration(
                services([site], auto=False),
                output(receiver.port, stage.certs),
                stage.folder / "collector",
                name=f"life-{number}",
                status=f"{HOST}:{port}",
            )

        collector = stage.collector(settings(0), launch).start()
        (child,) = collector.children
        file = collector.folder / "config.yaml"
        try:
            wait_until(lambda: probes.get("/healthz")[0] == 200, PATIENCE, "the status page")
            with probes:
                for number in range(1, reloads + 1):
                    site.put(samples[2 * number - 2 : 2 * number])
                    wrong = number % bad_every == 0
                    if wrong:
                        file.write_text(BAD)
                    else:
                        collector.configure(settings(number))
                    child.signal(signal.SIGHUP)
                    await_taken(probes, number, wrong=wrong)
                collector.configure(settings(reloads))
                settle(collector, receiver, [site], due.total(), PATIENCE)
            assert Path(f"/proc/{child.pid}").exists()
            collector.drain()
        finally:
            collector.kill()
        receiver.stop()
        got = verdict(due, receiver.events())
        assert (got.lost, got.torn) == (0, 0)
        assert probes.codes["/healthz"] == {200}
        assert 503 in probes.codes["/readyz"]


def await_taken(probes: Probes, number: int, *, wrong: bool) -> None:
    """Wait until a file is in force, or told to be wrong."""

    def taken() -> bool:
        status, body = probes.get("/status.json")
        if status != 200:
            return False
        state = json.loads(body)
        if wrong:
            return bool(state["refused"])
        return state["collector"]["name"] == f"life-{number}" and state["health"]["ready"]

    wait_until(taken, PATIENCE, f"reload {number}", 0.1)
    if wrong:
        assert "yaml" in json.loads(probes.get("/status.json")[1])["refused"]["where"]
        assert "collector_config_last_reload_successful{" in (metrics := probes.get("/metrics")[1]) or (
            "collector_config_last_reload_successful 0.0" in metrics
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("launch", [Launch("flows"), Launch("replicas", processes=2)], ids=str)
def test_s1_a_reload_keeps_the_process_and_loses_nothing(stage, launch):
    """Four reloads, one file wrong: one process id, alive all the time, every event arrives."""
    storm(stage, launch, 4, bad_every=3)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_storm_of_a_hundred_reloads(stage):
    """A hundred reloads, every fifth file wrong."""
    storm(stage, Launch("flows"), 100, bad_every=5)
