"""From figures to what a person reads, and to a page that nobody can make do anything else."""

import base64
import hashlib
import logging
import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from flows.status.charts import CHARTS, curve
from flows.status.event_status import DRAINING, told
from flows.status.outgoing import Outgoing
from flows.status.page import page, policy, script, style
from flows.status.server import answer
from flows.status.view import view, worst_first
from flows.status.words import Cell, age, lag, number, rate, size
from sources.metric_scopes import MetricScope
from tests.flows.status.acting import DENIED, FLOW, HOSTILE, LOGS, NOW, an_hour, trouble, watch
from transforms.block import Block, Origin


def row(state, name):
    """Return the cells of the row of a place or an output, by column."""
    cells = view(state)
    start = next(key for key, cell in cells.items() if key.endswith(".name") and cell.text == name)
    prefix = start.removesuffix("name")
    return {key.removeprefix(prefix): cell for key, cell in cells.items() if key.startswith(prefix)}


def test_the_first_sentence_tells_the_worst():
    """What cannot be read comes before what is a quarter of an hour behind, and both before all is well."""
    state = watch().state()
    assert view(state)["sum"] == Cell("1 of 3 sources cannot be read at the moment, see below.", "warn")
    for place in state["places"]:
        place["targets_failing"] = 0
    assert view(state)["sum"] == Cell("Collecting; 1 of 3 sources lags behind.", "warn")
    for place in state["places"]:
        place["lag_seconds"] = 10
    assert view(state)["sum"] == Cell("Collecting; 2 items are in quarantine, see below.", "warn")
    state["quarantine"]["items"] = 0
    assert view(state)["sum"] == Cell("All is well: 3 sources are collected and delivered.")


def test_r14_what_is_not_collected_is_told():
    """Missing, quarantined (also before the start) and ignored things are in the banner and on lines."""
    made = watch()
    made.facts = replace(made.facts, kept={"notice_unknown": 5})
    made.event_status.hear("buckets_open", {"service": "flowlogs", "where": "queue q in eu-west-1 (input a)"})
    state = made.state()
    for place in state["places"]:
        place |= {"targets_failing": 0, "lag_seconds": 10}
    state["not_read"] |= {"missing": {"flowlogs": 3}, "ignored": {"key_filter (flowlogs)": 1200}}
    state["not_read"]["dropped"] = {"keep_one_in (flowlogs)": 2500}
    state["not_read"]["untabled"] = {"kiro.amazonaws.com (audits_s3)": 7}
    cells = view(state)
    assert cells["sum"].text == (
        "Collecting; 3 objects were gone before they were read, 7 items are in quarantine, see below."
    )
    kept = "5 notice_unknown (before the start), 2 object_broken (flowlogs)"
    assert cells["quarantine"].text == f"Quarantine took 7: {kept}. See /var/quarantine."
    state["quarantine"]["full"] = True
    assert view(state)["quarantine"].level == "bad"
    since = "since the start, 2027-01-15 05:58:20 UTC"
    assert cells["missing"].text.startswith(f"Gone before they were read {since}: 3 flowlogs.")
    assert "1.2 k key_filter (flowlogs)" in cells["ignored"].text
    assert "2.5 k keep_one_in (flowlogs)" in cells["dropped"].text
    assert "7 kiro.amazonaws.com (audits_s3)" in cells["untabled"].text
    assert "queue q in eu-west-1 (input a)" in cells["open"].text
    state["not_read"]["missing"] = {}
    state["quarantine"] |= {"items": 0, "full": False}
    assert view(state)["sum"].text.endswith("delivered. 1.2 k notices were settled unread, see below.")


def test_a_source_is_told_in_words():
    """Rate, events, lag, what is in hand and lanes of a place are what the figures say."""
    flow, logs = row(watch().state(), "flowlogs"), row(watch().state(), "logs")
    assert flow["unit"].text == "production / non-cloudwatch-logs"
    assert [flow[name].text for name in ("region", "events", "lag", "hand", "lanes")] == [
        "eu-west-1",
        "12 k",
        "4 s",
        "3 messages",
        "8",
    ]
    assert logs["events"].text == "90 (+7 repeats left out)"
    assert logs["lag"] == Cell("83 min", "bad")


def test_an_output_is_told_in_words():
    """State, strength, receipts and the resend window of an output are what the figures say."""
    made = watch(receipts_total=30, receipt_timestamp_seconds=NOW - 3, events_missed_total=0)
    devo = row(made.state(), "devo")
    assert [devo[name].text for name in ("unit", "state", "strength", "events", "receipt", "window")] == [
        "devo_platform",
        "up",
        "receipt: the receiver has read everything",
        "12 k",
        "3 s ago, 30 so far",
        "2% full, 1.0 MiB of 64 MiB",
    ]


def test_trouble_is_told_with_its_hint():
    """An output that is down and a place that fails show what, where, what to do, and the error's code."""
    state = trouble(watch()).state()
    assert view(state)["sum"].level == "bad"
    assert view(state)["sum"].text.startswith("Output devo takes nothing at the moment. Nothing is lost")
    assert row(state, "devo")["state"] == Cell("down", "bad")
    assert row(state, "devo")["error"] == Cell(
        "60 s ago: connection refused: devo.example:443: nothing listens there: check `port` "
        "[delivery-connect-failed]",
        "bad",
    )
    assert "allow logs:FilterLogEvents" in row(state, "logs")["error"].text


def test_an_error_that_lasts_is_shown_for_ever():
    """A source that still fails after a day shows its last error all the same."""
    made = trouble(watch())
    made.clock = lambda: NOW + 86_400
    assert row(made.state(), "logs")["error"].level == "bad"


def test_an_error_that_is_over_is_shown_for_an_hour():
    """What works again is shown quietly, a single object's failure as a warning, and later neither."""
    made = trouble(watch())
    made.event_status.hear("receipt_taken", {"output": "devo", "strength": "receipt"})
    made.event_status.hear("output_recovered", {"output": "devo"})
    made.event_status.hear("object_failed", {"place": FLOW, "error": DENIED})
    cells = [row(made.state(), name)["error"] for name in ("devo", "flowlogs")]
    assert [cell.level for cell in cells] == ["mute", "warn"]
    assert ", over by now:" in cells[0].text
    made.clock = lambda: NOW + 3600
    assert [row(made.state(), name)["error"] for name in ("devo", "flowlogs")] == [Cell("")] * 2


def test_a_hang_comes_first():
    """A dataflow that does not turn is told before anything else."""
    made = trouble(watch())
    made.liveness.begun, made.liveness._seen, made.liveness._rest_until = True, -1e6, -1e6
    assert view(made.state())["sum"].text.startswith("Not well: the dataflow has not turned for")


def test_not_reached_yet_is_no_outage():
    """Before an output was reached for the first time nothing is said of an outage."""
    made = watch()
    made.event_status.output("devo").connected = False
    assert view(made.state())["sum"] == Cell("Output devo has not been reached yet.", "warn")


def test_a_place_that_only_figures_know_has_a_row():
    """A region of a log group's ARN is in no list of regions, and is shown all the same."""
    made = watch()
    made.event_status.hear(
        "place_failed", {"place": MetricScope("logs", "production", "x", "ap-south-1"), "error": OSError()}
    )
    assert [place["region"] for place in made.state()["places"]].count("ap-south-1") == 1


WORDS = [
    (age, [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (3e5, "3 d")]),
    (
        number,
        [(0, "0"), (999, "999"), (1000, "1.0 k"), (12_345, "12 k"), (5e6, "5.0 M"), (1e18, "1000000 T")],
    ),
    (size, [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (64 << 20, "64 MiB")]),
    (rate, [(0, "0"), (0.26, "0.3"), (9.94, "9.9"), (42.4, "42"), (3456, "3.5 k")]),
    (lambda value: lag(value).level, [(None, "mute"), (10, ""), (901, "warn"), (3601, "bad")]),
]


@pytest.mark.parametrize(("say", "cases"), WORDS, ids=["age", "number", "size", "rate", "lag"])
def test_numbers_are_short(say, cases):
    """A number takes a few characters, whatever its size."""
    assert [(value, say(value)) for value, _ in cases] == cases


def test_a_curve_ends_at_the_right_edge():
    """The newest value is at the right, the largest at the top; nothing known is no line."""
    assert curve([], 120, 24, 60) == ""
    assert curve([0, 5, 10], 120, 24, 60).split() == ["115.9,23.0", "118.0,12.0", "120.0,1.0"]


class Reader(HTMLParser):
    """Gathers elements with their attributes, and text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_everything_is_escaped():
    """Text of errors cannot become markup: it is read as it stands, and no element comes of it."""
    html = page(view(trouble(watch()).state()))
    reader = Reader(html)
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert "img" not in [tag for tag, _ in reader.elements]
    assert any(HOSTILE in text for text in reader.texts)


def test_only_our_own_style_and_script_run():
    """The policy allows the page's style and script alone, by their hashes; no attribute acts."""
    html = page(view(watch().state()))

    def allowed(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert f"<script>{script()}</script>" in html
    assert f"<style>{style()}</style>" in html
    assert f"script-src {allowed(script())};" in policy()
    assert f"style-src {allowed(style())};" in policy()
    assert "unsafe" not in policy()
    attributes = {name for _, attributes in Reader(html).elements for name in attributes}
    assert not {name for name in attributes if name.startswith("on") or name in {"style", "src", "action"}}


def test_nothing_comes_from_elsewhere():
    """The page names no address but its own."""
    html = page(view(watch().state()))
    assert not re.findall(r"https?://|url\(|@import", html)


def test_every_cell_is_on_the_page_once():
    """The script may put new words into each cell of the view, and finds each of them."""
    cells = view(trouble(watch()).state())
    keys = [attributes["data-k"] for _, attributes in Reader(page(cells)).elements if "data-k" in attributes]
    assert sorted(keys) == sorted(cells)


def well(made=None):
    """Return the state of a collector of which everything is as it should be."""
    made = made or watch()
    made.event_status.failures.clear()
    state = made.state()
    for place in state["places"]:
        place |= {"targets_failing": 0, "lag_seconds": 10, "last_error": None}
    state["quarantine"] |= {"items": 0}
    return state


FLAWS = {
    "missing": lambda state: state["not_read"].update(missing={"flowlogs": 1}),
    "quarantined": lambda state: state["quarantine"].update(items=1),
    "silent": lambda state: state["not_read"].update(silent={"flowlogs 1 eu-west-1": 7200.0}),
    "weak": lambda state: state["outputs"][0].update(strength="kernel"),
    "missed": lambda state: state["outputs"][0].update(strength="none"),
    "unsigned": lambda state: state["not_read"].update(unsigned={"broken of 1 eu-west-1 (audits_s3)": 1}),
    "certificate": lambda state: state["certificates"].update({"cert of output devo": 3.0}),
    "refused": lambda state: state.update(refused=told(watch().event_status.failure_of(DENIED), NOW)),
    "lagging": lambda state: state["places"][0].update(lag_seconds=2000),
    "failing": lambda state: state["places"][0].update(targets_failing=1),
    "recovering": lambda state: state["outputs"][0].update(recovered_seconds_ago=-10.0),
    "account": lambda state: state["stopped"].update(
        {"identity of account 1": told(watch().event_status.failure_of(DENIED), NOW)}
    ),
    "best effort": lambda state: state["outputs"][0].update(ready=False, required=False),
    "draining": lambda state: state["health"].update(unready=[DRAINING]),
    "hangs": lambda state: state["health"].update(alive=False, illness="it hangs"),
}


def test_an_outage_is_made_up_for():
    """Until what came before its end is read the banner says how far that is; not a moment longer."""
    made = watch()
    made.event_status.clock = lambda: NOW - 100
    made.event_status.hear("output_blocked", {"output": "devo"})
    assert "takes nothing" in view(well(made))["sum"].text
    made.event_status.hear("output_recovered", {"output": "devo"})
    state = well(made)
    assert view(state)["sum"].text.startswith("All is well")
    late = next(one for one in state["places"] if one["service"] == "flowlogs")
    late |= {"lag_seconds": 700, "waiting": 5200}
    assert view(state)["sum"] == Cell(
        "Recovering: output devo takes events again since 100 s; 1 of 3 sources still read what came before, "
        "up to 12 min back, 5.2 k messages wait.",
        "warn",
    )
    state["places"][0]["targets_failing"] = 1
    assert view(state)["sum"].text.startswith("1 of 3 sources cannot be read at the moment, see below. Recov")
    late["lag_seconds"] = 110
    assert "Recovering" not in view(state)["sum"].text
    late |= {"lag_seconds": 700, "reach_seconds": 600}
    assert "Recovering" not in view(state)["sum"].text, "an API's events come so late at any time"


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_banner_is_green_only_when_nothing_is_wrong(flaw):
    """Each thing that a person should see takes the green away; without one it is there."""
    state = well()
    assert view(state)["sum"] == Cell("All is well: 3 sources are collected and delivered.")
    FLAWS[flaw](state)
    assert view(state)["sum"].level in {"warn", "bad"}


def test_what_fails_stands_first_with_its_cure():
    """An output before a source, each with error, cure, since when, and when it is tried again."""
    made = trouble(watch())
    made.event_status.clock = lambda: NOW - 5
    made.event_status.hear("place_failed", {"place": LOGS, "error": DENIED, "again": 65.0})
    cells = view(made.state())
    assert cells["a0.what"] == Cell("Output devo: connection refused: devo.example:443", "bad")
    assert cells["a0.cure"].text == "nothing listens there: check `port` [delivery-connect-failed]"
    assert cells["a0.when"].text == "since 60 s; tried again now"
    assert cells["a1.what"].text.startswith("logs us-east-1 (production): FilterLogEvents failed")
    assert cells["a1.when"].text == "since 60 s; tried again in 60 s"
    assert cells["a2.what"] == Cell("")
    made.event_status.hear("place_recovered", {"place": LOGS})
    made.event_status.hear("place_failed", {"place": LOGS, "error": DENIED})
    assert view(made.state())["a1.when"].text == "since 5 s; it is tried again by itself"


def test_of_many_that_fail_the_others_are_counted():
    """Ten are shown, of the rest how many there are; a source that fails stands before those that do not."""
    state = well()
    error = told(watch().event_status.failure_of(DENIED), NOW)
    bad = {**state["places"][0], "targets_failing": 1, "last_error": error}
    state["places"] += [{**bad, "input": f"i{number:02}"} for number in range(30)]
    shown = worst_first(state)
    assert [place["input"] for place in shown["places"][:3]] == ["i00", "i01", "i02"]
    cells = view(shown)
    assert cells["a.more"].text == "and 20 more, see their rows below"
    assert "(i09)" in cells["a9.what"].text


def test_tags_events_and_lag_are_read():
    """Events by tag, the last lines of the log with their counts, and charts that end in round numbers."""
    made = watch()
    origin = Origin("flowlogs")
    made.liveness.outgoing.hear([Block(b"a\nb\n", 2, origin, "cloud.aws.vpc"), "no block"])
    record = logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": "leases_lost service=a"})
    record.event, record.fields = "leases_lost", {"service": "a"}
    made.recent.handle(record), made.recent.handle(record)
    an_hour(made.history)
    cells = view(made.state())
    assert (cells["t0.name"].text, cells["t0.events"].text) == ("cloud.aws.vpc", "2")
    assert cells["l0"].text.endswith("leases_lost (2 times)  service=a")
    assert [cells[f"c.hour.{name}"].text for name in ("rate.top", "lag.top")] == ["200", "2.0 h"]
    assert len(cells["c.day.rate"].text.split()) == 96


def test_the_tap_shows_the_next_twenty_events():
    """From the moment that somebody looks, of the source that is asked for, and no more than twenty."""
    outgoing = Outgoing()
    flows, logs = (Block(b"x\ny\n" * 20, 40, Origin(name), "t") for name in ("flowlogs", "logs"))
    outgoing.hear([flows])
    assert outgoing.tap("flowlogs") == []
    outgoing.hear([logs, flows])
    outgoing.hear([flows])
    assert outgoing.tap("flowlogs") == ["t: x", "t: y"] * 10
    assert outgoing.tap("logs") == []


def test_the_charts_of_one_source():
    """A row leads to the rate and lag of its own hour and day; a name that nobody has shows no line."""
    made = watch()
    an_hour(made.history)
    name = "flowlogs eu-west-1 production / non-cloudwatch-logs"
    assert f'href="?of={quote(name)}"' in page(view(made.state()))
    cells = view(made.state(name))
    assert cells["c.of"].text == f"of {name}"
    assert all(cells[f"c.{chart}"].text for chart in CHARTS)
    assert made.state(name)["charts"]["hour"]["lag"][0] == 5.0
    unknown = answer(f"/status?of={quote(HOSTILE)}", made).body.decode()
    assert HOSTILE not in unknown
    assert 'data-k="c.hour.rate" points=""' in unknown
    assert view(made.state())["c.of"].text == ""
