"""The page as a person sees it: in a real Chromium, on a phone and on a desk, by day and by night.

Pictures go to the test's temporary folder, or to `STATUS_SHOTS`.
"""

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from flows.status.metrics_snapshot import MetricsSnapshot
from flows.status.server import Server
from sources.metric_scopes import MetricScope
from tests.fakes.chromium import Chromium
from tests.fakes.process import HOST, wait_until
from tests.flows.status.acting import DENIED, HOSTILE, an_hour, trouble, watch
from tests.flows.status.acting import figures as numbers
from tests.flows.status.world import running

SIZES = (("phone", 390, 844), ("desk", 1440, 900))
LIGHTS = (("light", False), ("dark", True))

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def browser(tmp_path):
    """Return a browser; skips where there is none."""
    with Chromium(tmp_path / "chromium") as started:
        yield started


@pytest.fixture
def shots(tmp_path):
    """Return where pictures go."""
    folder = Path(os.environ.get("STATUS_SHOTS") or tmp_path / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def look(browser, url, shots, name):
    """Take a picture in every size and light; nothing may stick out, come from elsewhere or complain."""
    texts = []
    for size, width, height in SIZES:
        for light, dark in LIGHTS:
            tab = browser.open(url, width=width, height=height, dark=dark)
            tab.shot(shots / f"{name}-{size}-{light}.png")
            assert tab.run("document.documentElement.scrollWidth") <= width
            assert tab.complaints == []
            assert {asked.rpartition("/")[0] for asked in tab.asked} == {url.rpartition("/")[0]}
            luminous = tab.run("getComputedStyle(document.body).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", luminous))) < 64) == dark
            texts.append(tab.text())
    return texts


def test_an_hour_with_trouble(browser, shots):
    """Curves of an hour, an output that is down and a hostile error: read as text, and nothing runs."""
    shown = trouble(
        watch(receipts_total=1200, receipt_timestamp_seconds=1_799_999_000, delivery_retries_total=9)
    )
    an_hour(shown.history)
    server = Server(HOST, 0, shown)
    server.start()
    try:
        url = f"http://{HOST}:{server.server_address[1]}/status"
        texts = look(browser, url, shots, "hour")
        tab = browser.open(url)
        lengths = tab.run("[...document.querySelectorAll('polyline')].map(line => line.getTotalLength())")
        assert sum(length > 100 for length in lengths) == 6, "two rows' curves, and four charts"
    finally:
        server.shutdown()
        server.server_close()
    for text in texts:
        assert "Output devo takes nothing at the moment. Nothing is lost" in text
        assert "nothing listens there: check `port` [delivery-connect-failed]" in text
        assert HOSTILE in text


def test_an_outage_that_is_made_up_for(browser, shots):
    """Devo is back, and what waited meanwhile is read: yellow, with how far back it is."""
    shown = watch()
    shown.event_status.hear("output_blocked", {"output": "devo"})
    shown.event_status.hear("output_recovered", {"output": "devo"})
    an_hour(shown.history)
    server = Server(HOST, 0, shown)
    server.start()
    try:
        url = f"http://{HOST}:{server.server_address[1]}/status"
        for text in look(browser, url, shots, "recovering"):
            assert "Recovering: output devo takes events again since 60 s; 1 of 3 sources still read" in text
    finally:
        server.shutdown()
        server.server_close()


def test_the_page_follows_without_being_asked(browser, shots):
    """The open page shows an outage and its end within seconds; when the collector ends it says so."""
    shown = watch()
    server = Server(HOST, 0, shown)
    server.start()
    try:
        tab = browser.open(f"http://{HOST}:{server.server_address[1]}/status")
        assert "cannot be read" in tab.text("#sum")
        trouble(shown)
        wait_until(lambda: "takes nothing" in tab.text("#sum"), 60, "the page shows the outage", 0.2)
        assert tab.run("getComputedStyle(document.querySelector('#sum')).color") == "rgb(179, 38, 30)"
        shown.event_status.hear("output_recovered", {"output": "devo"})
        wait_until(lambda: "cannot be read" in tab.text("#sum"), 60, "the page shows the end of it", 0.2)
        assert tab.complaints == []
    finally:
        server.shutdown()
        server.server_close()
    wait_until(lambda: "does not answer" in tab.text("#lost"), 60, "the page says that nobody answers", 0.2)


@pytest.mark.slow
def test_a_running_collector_and_an_outage(browser, shots, certs, tmp_path, figures):
    """While the demo's services are collected, and while Devo is down, a person reads what is the matter."""
    with running(tmp_path / "world", certs) as world:
        world.put()
        world.put_nonsense()
        world.await_delivered()
        wait_until(lambda: world.state()["quarantine"]["items"], 60, "the nonsense is in quarantine", 0.2)
        url = f"http://{HOST}:{world.port}/status"
        live = browser.open(url)
        wait_until(lambda: "no log group" in live.text(), 60, "the page tells of the missing group", 0.5)
        for text in look(browser, url, shots, "up"):
            assert "1 of 12 sources cannot be read at the moment, see below." in text
            assert "no log group /not/there: eu-west-3, input aws: create it, or correct its name" in text
            assert "receipt: the receiver has read everything" in text
            assert "Quarantine took 1: 1 message_unknown (service-events-all)." in text
        figures(f"while it collects: {live.text('#sum')}")
        world.devo_goes()
        wait_until(lambda: "takes nothing" in live.text("#sum"), 60, "the open page shows the outage", 0.2)
        for text in look(browser, url, shots, "down"):
            assert "Output devo takes nothing at the moment. Nothing is lost: events stay in AWS" in text
            assert "connection refused" in text
            assert "check `address` and `port` [delivery-connect-failed]" in text
        assert world.get("/healthz")[0] == 200
        figures(f"while Devo is down: {live.text('#sum')}")
        world.devo_comes()
        wait_until(lambda: "takes nothing" not in live.text("#sum"), 60, "the open page shows its end", 0.2)
        figures(f"afterwards: {live.text('#sum')}")
        assert live.complaints == []
        assert world.stop() == 0


def thousand(failing):
    """Return a collector of a thousand sources, of which some fail."""
    shown = watch()
    places = [
        MetricScope("flowlogs", f"account-{number:04}", "non-cloudwatch-logs", "eu-west-1")
        for number in range(1000)
    ]
    shown.facts = replace(shown.facts, places=places)
    for place in places[500 : 500 + failing]:
        shown.event_status.hear("place_failed", {"place": place, "error": DENIED, "again": 300.0})
    values = {
        frozenset(place._asdict().items()): float(place in places[500 : 500 + failing]) for place in places
    }
    shown.read = lambda: MetricsSnapshot({**numbers().values, "targets_failing": values})
    an_hour(shown.history)
    return shown


def test_a_thousand_sources(browser, shots, figures):
    """What fails is in the first screen, the page is there within a second, and a filter finds a source."""
    server = Server(HOST, 0, thousand(3))
    server.start()
    try:
        url = f"http://{HOST}:{server.server_address[1]}/status"
        look(browser, url, shots, "thousand")
        for _, width, height in SIZES:
            tab = browser.open(url, width=width, height=height)
            top = tab.run("document.querySelector('#attention').getBoundingClientRect().top")
            assert top < height / 2
            seen = tab.text("#attention")
            assert [f"flowlogs eu-west-1 (account-0{number})" in seen for number in (500, 501, 502)] == [
                True
            ] * 3
            assert "allow logs:FilterLogEvents" in seen
            assert "tried again in 4 min" in seen
        paints = "performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)"
        wait_until(lambda: tab.run(paints), 60, "it is painted", 0.1)
        elements = tab.run("document.querySelectorAll('*').length")
        figures(f"first paint of 1,000 sources: {tab.run(paints)[0]:.0f} ms, {elements} elements")
        assert elements < 2_000, "only the first sources are built before it is painted"
        first = "document.querySelector('[data-k=\"p0.unit\"]').textContent"
        assert tab.run(first) == "account-0500 / non-cloudwatch-logs"
        tab.run("filter.value = 'account-0777'; filter.dispatchEvent(new Event('input'))")
        there = "one => one.offsetParent && /flow/.test(one.innerText)"
        shown = f"[...document.querySelectorAll('tr')].filter({there})"
        wait_until(lambda: tab.run(f"{shown}.length") == 1, 60, "one row is left", 0.2)
        assert "account-0777" in tab.run(f"{shown}[0].innerText")
        assert "No source has this text" not in tab.text()
        tab.run("filter.value = 'nobody'; filter.dispatchEvent(new Event('input'))")
        assert "No source has this text" in tab.text()
        assert tab.complaints == []
    finally:
        server.shutdown()
        server.server_close()
