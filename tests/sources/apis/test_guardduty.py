"""GuardDuty: every version of every finding once, whatever is updated while it is paged through."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sources.apis import guardduty
from sources.apis.cursor import CursorOptions, CursorSource, Target
from sources.apis.guardduty import GuardDuty, GuardDutyOptions, readable
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Limiters
from sources.errors import SourceError, Transient
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until
from transforms.telemetry import total

TARGET = Target("eu-west-1/d1", "123456789012", "eu-west-1", "d1")
MODEL = Session().get_service_model("guardduty")
UNLIMITED = Limiters(lambda *_: Bucket(0))
START = 1_700_000_000_000


def iso(ms):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Simulated:
    """A GuardDuty whose pages are offsets, and in which something may happen before each call."""

    def __init__(self, versions, happenings=()):
        self.now = max([START, *versions.values()])
        self.versions = dict(versions)
        self.made = set(self.versions.items())
        self.happenings = list(happenings)
        self.calls = 0
        events = SimpleNamespace(register=lambda *_, **__: None)
        self.meta = SimpleNamespace(events=events, service_model=MODEL)

    def _happen(self):
        self.calls += 1
        assert self.calls < 3_000, "it never comes to an end"
        passed, touched = self.happenings.pop(0) if self.happenings else (0, ())
        self.now += passed
        for key in touched:
            self.versions[key] = self.now
            self.made.add((key, self.now))

    def list_detectors(self, **_):
        return {"DetectorIds": ["d1"], "NextToken": ""}

    def list_findings(self, DetectorId, FindingCriteria, SortCriteria, MaxResults, NextToken="0"):  # noqa: ARG002, N803
        self._happen()
        assert SortCriteria == {"AttributeName": "updatedAt", "OrderBy": "ASC"}
        since = FindingCriteria["Criterion"]["updatedAt"]["GreaterThanOrEqual"]
        found = sorted((v, key) for key, v in self.versions.items() if v >= since)
        end = int(NextToken) + MaxResults
        ids = [key for _, key in found[int(NextToken) : end]]
        return {"FindingIds": ids, "NextToken": str(end) if end < len(found) else ""}

    def get_findings(self, DetectorId, FindingIds):  # noqa: ARG002, N803
        self._happen()
        found = [
            {"id": key, "updatedAt": iso(self.versions[key])} for key in FindingIds if key in self.versions
        ]
        return {guardduty._WIRE: json.dumps({"findings": found}).encode()}


def poll_of(api, **options):
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda _service, _region: api
    )
    chosen = GuardDutyOptions(("eu-west-1",), START, **options)
    return GuardDuty(account, chosen, UNLIMITED, threading.Event(), clock=lambda: api.now)


def lines_of(page):
    return [json.loads(line) for item in page.items for line in item.payload.splitlines()]


def versions_in(page):
    return [(one["id"], guardduty.parse_iso(one["updatedAt"])) for one in lines_of(page)]


def poll_once(poll, state, stop_after=None):
    """Return the versions emitted by one poll, and the state after its last (or `stop_after`-th) page."""
    emitted = []
    for number, page in enumerate(poll.pages(TARGET, json.loads(json.dumps(state))), 1):
        emitted += versions_in(page)
        state = page.state
        if number == stop_after:
            break
    return emitted, state


ids = st.integers(0, 25).map("f{}".format)
stock = st.dictionaries(ids, st.integers(0, 6).map(lambda n: START + n), max_size=20)
happenings = st.lists(st.tuples(st.integers(0, 2), st.sets(ids, max_size=4)), max_size=25)


@settings(deadline=None, max_examples=100)
@given(
    stock, happenings, st.lists(st.one_of(st.none(), st.integers(1, 3)), max_size=6), st.sampled_from([0, 9])
)
def test_h17_every_version_once_while_updated(versions, happened, crashes, overlap):
    """h17: bursts of one millisecond over page borders, updates between calls, crashes: nothing lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guardduty, "_PAGE", 3)
        api = Simulated(versions, happened)
        poll, state, emitted = poll_of(api, overlap_seconds=overlap), {}, []
        for stop_after in [*crashes, *[None] * (len(happened) + 2)]:
            new, state = poll_once(poll, state, stop_after)
            emitted += new
    assert len(emitted) == len(set(emitted))
    assert set(api.versions.items()) <= set(emitted) <= api.made


def test_a_detector_that_was_born_during_an_outage_begins_where_that_began():
    """Without a start_time, what it found meanwhile is collected; of a first start it is from now on."""
    api = Simulated({"a": START - 9_000_000, "b": START - 2_000_000, "c": START - 1_000_000})
    poll = poll_of(api)
    poll._options = replace(poll._options, start=None)
    for since, due in ((0, []), (START - 5_000_000, ["b", "c"])):
        target = replace(TARGET, since=since)
        found = [key for page in poll.pages(target, {}) for key, _ in versions_in(page)]
        assert found == due


def test_h17_update_that_becomes_visible_late():
    """h17: an update that shows up minutes after its own time lies within the overlap of the next poll."""
    api = Simulated({"a": START + 590_000})
    poll, state, emitted = poll_of(api), {}, []
    for _ in range(2):
        emitted += poll_once(poll, state)[0]
        state = poll_once(poll, state)[1]
    assert state["at"] == START + 590_000
    api.now += 200_000
    api.versions["late"] = START + 580_000
    emitted += poll_once(poll, state)[0]
    assert [key for key, _ in emitted] == ["a", "late"]


def test_h17_update_that_becomes_visible_late_during_a_long_poll():
    """h17: a poll that takes longer than the overlap does not leave behind what showed up meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guardduty, "_PAGE", 2)
        api = Simulated({f"f{n:02}": START + n * 1_000 for n in range(40)}, [(60_000, ())] * 200)
        for n in range(40, 60):
            api.versions[f"f{n}"] = START + n * 60_000
        api.now = START + 40_000
        poll, late = poll_of(api), ("late", START + 30_000)
        emitted, state = [], {}
        for page in poll.pages(TARGET, {}):
            state, emitted = page.state, emitted + versions_in(page)
            if emitted[-1][1] > START + 2_500_000:
                api.versions[late[0]] = late[1]
        assert late not in emitted
        assert late in poll_once(poll, state)[0]


def test_h17_finding_that_slips_through_a_burst(monkeypatch):
    """h17: a burst larger than a page counts once its pages came out the same twice: one may slip through."""
    monkeypatch.setattr(guardduty, "_PAGE", 3)
    burst = dict.fromkeys("abcde", START)
    # list, fetch, list again, first page of two; now `b` is updated and `d` moves up out of the second
    api = Simulated({**burst, "x": START + 5, "y": START + 6, "z": START + 7}, [(0, ())] * 4 + [(9, ("b",))])
    state = {"v": 2, "from": START, "at": START, "seen": {**dict.fromkeys("abc", START), "x": START + 5}}
    emitted, _ = poll_once(poll_of(api, overlap_seconds=0), state)
    assert sorted(key for key, _ in emitted) == ["b", "d", "e", "y", "z"]


def test_catching_up_moves_the_position_page_by_page(monkeypatch):
    """A crash in a long first run does not begin at its beginning."""
    monkeypatch.setattr(guardduty, "_PAGE", 10)
    api = Simulated({f"f{n:03}": START + n * 1_000_000 for n in range(100)})
    api.now = START + 200_000_000
    poll = poll_of(api)
    emitted, state = poll_once(poll, {}, stop_after=5)
    assert state["at"] >= START + 30_000_000
    assert len(state["seen"]) < 30
    again, _ = poll_once(poll, state)
    assert len(emitted + again) == len(set(emitted + again)) == 100
    assert api.calls < 3 * 10 + 10


def test_quiet_detector_costs_one_request_and_an_old_finding_two():
    """A poll in which nothing happens asks as little as possible."""
    api = Simulated({})
    poll = poll_of(api)
    _, state = poll_once(poll, {})
    assert api.calls == 1
    assert (state["from"], state["at"], state["seen"]) == (START, START, {})


def test_without_start_time_only_what_comes_is_collected():
    """No start_time means from now on, and the moment is kept."""
    api = Simulated({"old": START + 5})
    api.now = START + 1_000
    poll = poll_of(api)
    poll._options = GuardDutyOptions(("eu-west-1",))
    emitted, state = poll_once(poll, {})
    assert emitted == []
    assert state["from"] == START + 1_000
    api.now = START + 2_000
    api.versions["new"] = START + 1_500
    assert [key for key, _ in poll_once(poll, state)[0]] == ["new"]


def test_state_of_another_version_is_refused():
    """A state that this release cannot read is an error, not a fresh start."""
    with pytest.raises(SourceError, match="version 3"):
        list(poll_of(Simulated({})).pages(TARGET, {"v": 3}))


@pytest.mark.parametrize(
    ("body", "what"),
    [(b'{"findings": [{"id"', "no JSON"), (b"<html>", "no JSON"), (b"{}", "without findings")],
)
def test_h19_hollow_reply_of_get_findings(body, what):
    """h19: a truncated or foreign body is an error to be tried again, not an empty list."""
    api = Simulated({"a": START})
    api.get_findings = lambda **_: {guardduty._WIRE: body}
    with pytest.raises(Transient, match=what):
        list(poll_of(api).pages(TARGET, {}))


def test_half_a_surrogate_pair_stops_no_detector():
    """What JSON can say and UTF-8 cannot is an event like the others."""
    api = Simulated({"a": START})
    body = b'{"findings": [{"id": "a", "updatedAt": "%s", "title": "\\ud83d"}]}' % iso(START).encode()
    api.get_findings = lambda **_: {guardduty._WIRE: body}
    (block,) = [item for page in poll_of(api).pages(TARGET, {}) for item in page.items]
    assert b'"title":"\\ud83d"' in block.payload


@pytest.mark.parametrize(
    ("api_name", "key"), [("list_findings", "FindingIds"), ("list_detectors", "DetectorIds")]
)
def test_h19_hollow_lists(api_name, key):
    """h19: a list without its mandatory key is an error to be tried again."""
    api = Simulated({"a": START})
    setattr(api, api_name, lambda **_: {})
    poll = poll_of(api)
    if api_name == "list_findings":
        with pytest.raises(Transient, match=key):
            list(poll.pages(TARGET, {}))
    else:
        (error,) = poll.targets()
        assert isinstance(error, Transient)


def test_wire_times_become_iso():
    """Numbers that are times become ISO 8601; everything else, unknown fields too, stays as it came."""
    shape = MODEL.shape_for("Finding")
    finding = {
        "id": "a",
        "severity": 5.0,
        "brandNew": {"at": 1.5},
        "resource": {
            "s3BucketDetails": [{"createdAt": 1513612691.551, "name": "b"}],
            "eksClusterDetails": None,
        },
        "service": {"count": 3, "detection": {"anomaly": {"profiles": {"p": {"q": [{"values": "x"}]}}}}},
    }
    expected = json.loads(json.dumps(finding))
    expected["resource"]["s3BucketDetails"][0]["createdAt"] = "2017-12-18T15:58:11.551Z"
    assert readable(finding, shape) == expected


def test_drain_asks_nothing():
    """While the process drains, no further request is made."""
    api = Simulated({"a": START})
    poll = poll_of(api)
    poll._api._drain.set()
    with pytest.raises(Transient, match="not asked"):
        list(poll.pages(TARGET, {}))
    assert api.calls == 0


@contextmanager
def collecting(account, regions, **options):
    """Run a whole source over all lanes; yields a function that returns what has come out so far."""
    drain = threading.Event()
    chosen = GuardDutyOptions(regions, START, period_seconds=0.02, **options)
    poll = GuardDuty(account, chosen, UNLIMITED, drain)
    source = CursorSource(poll, CursorOptions(discover_seconds=0.2, backoff_seconds=0.02), drain)
    parts = [source.build_part("step", key, None) for key in source.list_parts()]
    lines = []

    def come():
        lines.extend(line for p in parts for item in p.next_batch() for line in item.payload.splitlines())
        return lines

    yield come
    drain.set()
    for part in parts:
        part.close()


@pytest.mark.usefixtures("served")
def test_h17_several_detectors_and_archived_findings():
    """h17: each detector of each region is a target, and archived findings count unless told otherwise."""
    account = Account("main")
    kept = {}
    for region in ("us-east-1", "eu-west-1"):
        for _ in range(2):
            detector = account.client("guardduty", region).create_detector(Enable=True)["DetectorId"]
            fake_aws.put_findings(
                detector,
                [
                    {"Id": f"{detector}-{n}", "UpdatedAt": iso(START + n), "Service": {"Archived": n == 1}}
                    for n in (0, 1)
                ],
                region=region,
            )
            kept[region, detector] = 2
    for archived, wanted in ((True, 2), (False, 1)):
        poll = GuardDuty(
            account,
            GuardDutyOptions(("us-east-1", "eu-west-1"), START, archived=archived),
            UNLIMITED,
            threading.Event(),
        )
        targets = list(poll.targets())
        assert {(t.region, t.detail) for t in targets} == set(kept)
        for target in targets:
            lines = [line for page in poll.pages(target, {}) for line in lines_of(page)]
            assert len(lines) == wanted
            assert {line["service"]["detectorId"] for line in lines} == {target.detail}


@pytest.mark.usefixtures("served")
def test_event_is_the_finding_in_its_wire_form():
    """A finding comes out as one compact line under the names that the service itself writes."""
    account = Account("main")
    detector = account.client("guardduty", "us-east-1").create_detector(Enable=True)["DetectorId"]
    fake_aws.put_findings(detector, [{"Id": "f1", "UpdatedAt": iso(START), "Title": "naïve\nportscan"}])
    poll = GuardDuty(account, GuardDutyOptions(("us-east-1",), START), UNLIMITED, threading.Event())
    (target,) = poll.targets()
    (block,) = [item for page in poll.pages(target, {}) for item in page.items]
    assert block.payload.count(b"\n") == block.count == 1
    assert block.origin.region == "us-east-1"
    event = json.loads(block.payload)
    assert event["schemaVersion"] == "2.0"
    assert event["updatedAt"] == iso(START)
    assert event["title"] == "naïve\nportscan"
    assert event["severity"] == 5.0
    assert event["service"]["archived"] is False
    assert '"updatedAt":"2023-11-14' in block.payload.decode()


def test_h17_500_findings_updated_while_paging_under_faults(served, figures):
    """h17, h19: bursts, updates between calls, resets and hollow replies at once: every version once."""
    with FaultProxy(served.url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        account = Account("main")
        detector = account.client("guardduty", "us-east-1").create_detector(Enable=True)["DetectorId"]
        final = {f"f{n:03}": iso(START + n // 120) for n in range(500)}
        made = set(final.items())

        def put(versions):
            fake_aws.put_findings(detector, [{"Id": k, "UpdatedAt": v} for k, v in versions.items()])
            final.update(versions)
            made.update(versions.items())

        put(final)
        updates = iter([{f"f{n * 7:03}": iso(START + 1_000 + n // 4)} for n in range(40)])
        updating = proxy.add(
            op="guardduty.ListFindings", do="call", then=lambda: put(next(updates)), times=40, probability=0.8
        )
        hollow = proxy.add(op="guardduty.*Findings", do="short", after=5, times=2)
        junk = proxy.add(op="guardduty.GetFindings", do="junk", size=100, times=1)
        reset = proxy.add(op="guardduty.*Findings", do="reset", after=9, times=1)
        with collecting(account, ("us-east-1",)) as come:
            wait_until(
                lambda: updating.fired == 40 and set(final.items()) <= versions_of(come()),
                150,
                "all versions",
            )
            polls = proxy.count("guardduty.ListFindings")
            wait_until(lambda: come() and proxy.count("guardduty.ListFindings") > polls + 5, 30, "more polls")
            lines = come()
    replaced = made - versions_of(lines)
    figures(
        f"500 findings, 120 in a millisecond, {len(made)} versions: {len(lines)} collected, "
        f"{len(lines) - len(versions_of(lines))} twice, {len(replaced)} replaced before they were read, "
        f"{len(set(final.items()) - versions_of(lines))} lost"
    )
    assert (hollow.fired, junk.fired, reset.fired) == (2, 1, 1)
    assert len(lines) == len(versions_of(lines))
    assert set(final.items()) <= versions_of(lines) <= made
    # only a first version can be missed, and only because GuardDuty had replaced it by then
    assert replaced <= {(key, first) for key, first in made if final[key] != first}
    assert len(lines) > 500


def versions_of(lines):
    return {(one["id"], one["updatedAt"]) for one in map(json.loads, lines)}


def test_findings_of_accounts_that_are_left_out_are_counted_and_not_sent():
    """An administrator has them all the same; of an account that nobody knows yet they are sent."""

    class Members(Simulated):
        def get_findings(self, **asked):
            found = json.loads(super().get_findings(**asked)[guardduty._WIRE])["findings"]
            for one in found:
                one["accountId"] = one["id"]
            return {guardduty._WIRE: json.dumps({"findings": found}).encode()}

    api = Members({"wanted": START, "unwanted": START + 1, "young": START + 2})
    poll = poll_of(api, leaves_out=lambda account: account == "unwanted")
    before = total("events_dropped", service="guardduty", rule="organization")
    pages = list(poll.pages(TARGET, {}))
    items = [item for page in pages for item in page.items]
    assert [item.origin.account for item in items] == ["wanted", "young"]
    assert total("events_dropped", service="guardduty", rule="organization") - before == 1
    assert poll_once(poll, pages[-1].state)[0] == []
    assert sum(page.repeats for page in pages) == 0
