"""What a kill repeats is what had no receipt: objects with a row in the journal are not sent again."""

import random
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from flows.journal.reader import Query, rows
from tests.chaos.load import bulk, flow_log
from tests.fakes.collector import Launch, configuration, output, services, settle
from tests.fakes.corpus import Sample
from tests.fakes.process import wait_until

_VISIBILITY_SECONDS = 5
_TIMEOUT = 90.0
_OBJECT, _KEY = re.compile(rb"eni-(\d{10})"), re.compile(r"bulk-(\d{10})")


@dataclass(frozen=True)
class Rate:
    """Objects a second, and the events of each."""

    objects: int
    events: int

    def __str__(self) -> str:
        return f"{self.objects * self.events}-a-second"


def cheap(number: int, rate: Rate) -> Sample:
    """Return an object without the list of its events, which would take longer to make than to send."""
    key, body = flow_log(number, rate.events)
    return Sample(bulk(0, 1).service, key, body, ())


@contextmanager
def fed(site, rate, samples):
    """Put objects at a rate meanwhile; adds them to `samples`."""
    over = threading.Event()

    def put() -> None:
        began = time.monotonic()
        while not over.is_set():
            due = int((time.monotonic() - began) * rate.objects) + 1 - len(samples)
            lot = [cheap(len(samples) + number, rate) for number in range(due)]
            site.put(lot)
            samples.extend(lot)
            over.wait(0.2)

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def by_object(tail, counts):
    """Add what has arrived since, by the object's number."""
    for chunk in tail.grown():
        counts.update(map(int, _OBJECT.findall(chunk)))


@pytest.mark.parametrize(
    ("rate", "kills"),
    [
        (Rate(10, 100), 2),
        (Rate(20, 500), 2),
        pytest.param(Rate(10, 100), 10, marks=pytest.mark.full),
        pytest.param(Rate(20, 500), 10, marks=pytest.mark.full),
        pytest.param(Rate(20, 5_000), 10, marks=pytest.mark.full),
    ],
    ids=str,
)
@pytest.mark.timeout(900)
def test_a_kill_repeats_no_object_that_has_a_row(stage, rsyslog, figures, rate, kills):
    """Killed under load: objects with a row had arrived in full, and nothing of them comes again."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    site.queues = {name: queue for name, queue in site.queues.items() if name == "flowlogs"}
    chosen = services([site], auto=False, only=["flowlogs"], visibility_timeout_seconds=_VISIBILITY_SECONDS)
    given = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder)
    folder = stage.folder / "journal"
    given["globals"]["journal"] = str(folder)
    collector = stage.collector(given, Launch("flows", interval=1))
    seed, samples, arrived, tail = random.Random(kills), [], Counter(), rsyslog.tail()
    written: dict[int, int] = {}
    saved = open_ = 0
    try:
        with fed(site, rate, samples):
            for _ in range(kills):
                before = rsyslog.size()
                collector.start()
                rsyslog.wait_for(before + 1, _TIMEOUT)
                time.sleep(seed.uniform(1.0, 4.0))
                collector.kill()
                rsyslog.wait_quiet(0.5)
                known = {int(found[1]) for row in rows(folder, Query()) if (found := _KEY.search(row.object))}
                saved += max(len(known) - (len(samples) - site.waiting()), 0)

                def whole(known=known) -> bool:
                    by_object(tail, arrived)
                    return all(arrived[number] >= rate.events for number in known)

                wait_until(whole, _TIMEOUT, "what has a row has arrived")
                open_ += sum(count for number, count in arrived.items() if number not in known)
                for number in known - written.keys():
                    written[number] = arrived[number]
        collector.start()
        settle(collector, rsyslog, [site], len(samples) * rate.events, _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    rsyslog.wait_quiet(0.5)
    by_object(tail, arrived)
    assert {number: arrived[number] for number in written} == written
    assert all(arrived[number] >= rate.events for number in range(len(samples)))
    again = arrived.total() - len(samples) * rate.events
    assert again <= open_
    figures(
        f"{rate} events, {kills} kills: {again / kills:.0f} events repeated a kill ({open_ / kills:.0f} had "
        f"arrived without a receipt), of objects with a row: 0; recognised: {saved} objects"
    )
