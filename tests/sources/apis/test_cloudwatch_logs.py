"""CloudWatch Logs: every event once, whatever is late, torn, throttled, born or deleted meanwhile."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.log_groups import GroupRule, widest
from sources.apis.poll import Target
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Limiters
from sources.errors import Denied, Missing, SourceError, Transient
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, PLAN, FakeAws
from tests.fakes.faultproxy import FaultProxy

NOW = 1_790_000_100
MS = NOW * 1000
UNLIMITED = Limiters(lambda *_: Bucket(0))
REGION = "us-east-1"
pytestmark = pytest.mark.usefixtures("proxy")


@pytest.fixture(scope="module")
def served() -> Iterator[FaultProxy]:
    """Return the proxy before the fake; the collector's clients, retrying without rest, go through it."""
    with FakeAws() as aws, FaultProxy(aws.url) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in fake_aws.environment(running.url).items():
            patch.setenv(name, value)
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        yield running


@pytest.fixture(scope="module")
def account(served) -> Account:
    """Return the account of the environment; its clients are made once."""
    return Account("main")


@pytest.fixture
def proxy(served) -> FaultProxy:
    """Return the proxy without rules, before an empty AWS whose clock stands at NOW."""
    fake_aws.reset()
    CLOCK.freeze(NOW)
    served.clear()
    return served


@pytest.fixture
def poll(account) -> Callable[..., CloudWatchLogs]:
    """Return a maker of polls on the fake's clock, from rules and options."""

    def make(*groups: GroupRule, regions=(REGION,), **options) -> CloudWatchLogs:
        chosen = LogsOptions(regions, groups or (GroupRule("/"),), **options)
        return CloudWatchLogs(account, chosen, UNLIMITED, threading.Event(), lambda: int(CLOCK.now() * 1000))

    return make


class Collector:
    """Polls as the cursor family does: each target from the state of its last page, again after errors."""

    def __init__(self, poll: CloudWatchLogs) -> None:
        self.poll = poll
        self.states: dict[str, dict] = {}
        self.ids: Counter[str] = Counter()
        self.events: list[dict] = []
        self.errors: list[SourceError] = []

    def round(self) -> None:
        """Poll every target until nothing is left to read now."""
        targets = []
        for one in self.poll.targets():
            (self.errors if isinstance(one, SourceError) else targets).append(one)
        for target in targets:
            while self.once(target):
                pass

    def once(self, target: Target) -> bool:
        """Poll one target once; True when it shall be polled again at once."""
        again = False
        try:
            for page in self.poll.pages(target, self.states.get(target.key, {})):
                self.states[target.key], again = json.loads(json.dumps(page.state)), page.again
                for block in page.items:
                    assert block.count == block.payload.count(b"\n")
                    for text in block.payload.splitlines():
                        event = json.loads(text)
                        self.events.append(event)
                        self.ids[event["eventId"]] += 1
        except Transient as error:
            self.errors.append(error)
            return True
        return again


def put(group="/g", stream="s", times=(MS,), region=REGION, **more) -> list[str]:
    events = [{"timestamp": time, "message": f"line {n}", **more} for n, time in enumerate(times)]
    return fake_aws.put_log_events(group, stream, events, region=region)


def test_an_event_is_the_documented_json(poll):
    """Keys in their order, compact, one line whatever the message holds; account and region of the group."""
    put(times=[MS - 90_000], late_s=-80)
    put(times=[MS - 80_000], message="a\nb\u2028\ud83d")
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    first, second = collector.events
    assert list(first.items()) == [
        ("logGroup", "/g"),
        ("logStream", "s"),
        ("timestamp", MS - 90_000),
        ("ingestionTime", MS - 80_000),
        ("eventId", first["eventId"]),
        ("message", "line 0"),
        ("account", "123456789012"),
        ("region", REGION),
    ]
    assert second["message"] == "a\nb\u2028\ud83d"


def test_only_what_is_settled_is_read(poll):
    """An event younger than the settle delay waits for the next window."""
    put(times=[MS - 61_000, MS - 60_000, MS - 1_000])
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    assert [event["timestamp"] for event in collector.events] == [MS - 61_000]
    CLOCK.advance(60)
    collector.round()
    assert [event["timestamp"] for event in collector.events] == [MS - 61_000, MS - 60_000, MS - 1_000]


def test_h15_a_burst_in_one_millisecond_at_a_windows_end_is_whole(poll):
    """Events of one millisecond, written before and after it was read, come once each: no +1 ms."""
    edge = MS - 61_000
    ids = put(times=[edge] * 5)
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    ids += put(stream="other", times=[edge] * 5)
    CLOCK.advance(30)
    collector.round()
    assert collector.ids == Counter(ids)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_h15_pages_of_every_size_empty_and_out_of_order_lose_nothing(poll, size):
    """Page borders in the middle of a millisecond, empty pages with a token, shuffled pages."""
    ids = [
        one for n in range(3) for one in put(stream=f"s{n}", times=[MS - 90_000 + k // 4 for k in range(8)])
    ]
    PLAN.page_size["FilterLogEvents"] = size
    fake_aws.empty_pages("FilterLogEvents", 3)
    fake_aws.shuffle("FilterLogEvents")
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    assert collector.ids == Counter(ids)


@pytest.mark.parametrize("cut", range(6))
def test_h15_resuming_after_any_page_neither_loses_nor_repeats(poll, cut):
    """From the state of any page on, the rest comes and nothing twice."""
    ids = put(times=[MS - 90_000 + k // 3 for k in range(12)])
    PLAN.page_size["FilterLogEvents"] = 3
    fake_aws.shuffle("FilterLogEvents")
    first = Collector(poll(GroupRule("/g", MS - 100_000)))
    (target,) = first.poll.targets()
    emitted: list[str] = []
    for number, page in enumerate(first.poll.pages(target, {})):
        if number == cut:
            break
        emitted += [
            json.loads(text)["eventId"] for block in page.items for text in block.payload.splitlines()
        ]
        first.states[target.key] = page.state
    second = Collector(poll(GroupRule("/g", MS - 100_000)))
    second.states = first.states
    late = put(stream="late", times=[MS - 90_001])
    second.round()
    CLOCK.advance(300)
    second.round()
    assert Counter(emitted) + second.ids == Counter(ids + late)


def test_h15_late_events_up_to_settle_and_overlap_are_found(poll):
    """Whatever becomes visible within settle + overlap of its time is collected; repeats are dropped."""
    rng = random.Random(7)
    lateness = {one: rng.choice([0, 0, 5, 59, 61, 200, 355]) for one in range(60)}
    ids = []
    for n, late in lateness.items():
        ids += put(stream=f"s{n % 5}", times=[MS + n * 1000], late_s=n + late)
    collector = Collector(poll(GroupRule("/g", MS - 1000), period_seconds=20))
    for _ in range(24):
        collector.round()
        CLOCK.advance(20)
    assert collector.ids == Counter(ids)


def test_h15_streams_without_last_event_timestamp_and_new_ones_are_read(poll):
    """A stream born after a window closed is read, and no stream is chosen by lastEventTimestamp."""
    ids = put(times=[MS - 70_000])
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    ids += put(stream="born", times=[MS - 70_000, MS - 10_000])
    CLOCK.advance(100)
    collector.round()
    assert collector.ids == Counter(ids)
    assert "logs.DescribeLogStreams" not in fake_aws.served_counts()


def test_h15_groups_come_and_go_while_it_runs(poll):
    """A group made later is read from its birth; one that is gone is skipped; the others go on."""
    ids = put("/a", times=[MS + 1_000])
    collector = Collector(poll(GroupRule("/")))
    collector.round()
    CLOCK.advance(300)
    listed = list(collector.poll.targets())
    assert [target.detail for target in listed] == ["/a"]
    ids += put("/b", times=[MS + 310_000])
    put("/gone", times=[MS])
    CLOCK.advance(300)
    with_gone = list(collector.poll.targets())
    delete("/gone")
    for target in with_gone:
        collector.once(target)
    collector.round()
    assert collector.ids == Counter(ids)
    assert collector.errors == []


def delete(group: str) -> None:
    from moto.logs.models import logs_backends  # noqa: PLC0415 - moto is slow to import

    logs_backends["123456789012"][REGION].delete_log_group(group)


def test_h15_a_group_deleted_between_two_pages_is_skipped_once(poll, proxy):
    """ResourceNotFound in mid-window ends the poll quietly; of a group that stays listed it is told."""
    put(times=[MS - 90_000 + k for k in range(6)])
    PLAN.page_size["FilterLogEvents"] = 3
    proxy.add("call", op="logs.FilterLogEvents", after=1, times=1, then=lambda: delete("/g"))
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    (target,) = collector.poll.targets()
    collector.once(target)
    assert len(collector.events) == 3
    with pytest.raises(Missing):
        list(collector.poll.pages(target, {}))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["/"], ["/aws/lambda/a", "/aws/lambda/b", "/aws/rds", "plain"]),
        (["/aws/lambda/"], ["/aws/lambda/a", "/aws/lambda/b"]),
        (["/aws/*"], ["/aws/lambda/a", "/aws/lambda/b", "/aws/rds"]),
        (["/aws/rds", "plain"], ["/aws/rds", "plain"]),
        (["arn:aws:logs:us-east-1:123456789012:log-group:/aws/rds:*"], ["/aws/rds"]),
        (["/aws/lambda/", "/", "plain"], ["/aws/lambda/a", "/aws/lambda/b", "/aws/rds", "plain"]),
    ],
)
def test_groups_are_chosen_by_name_prefix_and_arn(poll, rules, expected):
    """One name, a list, a prefix, everything; each group once."""
    for name in ("/aws/lambda/a", "/aws/lambda/b", "/aws/rds", "plain"):
        fake_aws.put_log_group(name)
    found = list(poll(*map(GroupRule, rules)).targets())
    assert sorted(target.detail for target in found) == expected
    assert all(target.account == "123456789012" for target in found)


def test_listing_pages_and_says_what_is_missing(poll):
    """More groups than one page are all found; an exact name that does not exist is an error."""
    for n in range(120):
        fake_aws.put_log_group(f"/many/{n:03d}")
    found = list(poll(GroupRule("/many/"), GroupRule("/many/0"), GroupRule("/many/007")).targets())
    assert sum(isinstance(one, Target) for one in found) == 120
    assert [str(one) for one in found if isinstance(one, Missing)] == [
        "no log group /many/0: us-east-1, input main: create it, or correct its name"
    ]


def test_a_group_need_not_be_in_every_region(poll):
    """A name is missing when no region has it; an ARN names its own region."""
    fake_aws.put_log_group("/here", region="eu-west-1")
    fake_aws.put_log_group("/there", region="eu-north-1")
    arn = "arn:aws:logs:eu-north-1:123456789012:log-group:/there"
    found = list(poll(GroupRule("/here"), GroupRule(arn), regions=(REGION, "eu-west-1")).targets())
    assert [one.key for one in found] == ["eu-west-1//here", "eu-north-1//there"]


def test_the_most_telling_rule_gives_the_start(poll):
    """A group's own entry beats a prefix, a longer prefix a shorter one."""
    for group in ("/a/own", "/a/other", "/rest"):
        put(group, times=[MS - 400_000, MS - 300_000, MS - 200_000])
    rules = [GroupRule("/", MS - 250_000), GroupRule("/a/", MS - 350_000), GroupRule("/a/own", MS - 450_000)]
    collector = Collector(poll(*rules))
    collector.round()
    assert Counter(event["logGroup"] for event in collector.events) == {
        "/a/own": 3,
        "/a/other": 2,
        "/rest": 1,
    }


def test_another_start_of_one_group_begins_it_anew(poll, caplog):
    """A group's own start_time, changed, resets that group and says so; the others go on where they were."""
    for group in ("/a", "/b"):
        put(group, times=[MS - 300_000, MS - 200_000])
    collector = Collector(poll(GroupRule("/a", MS - 250_000), GroupRule("/b", MS - 250_000)))
    collector.round()
    assert len(collector.events) == 2
    collector.poll = poll(GroupRule("/a", MS - 350_000), GroupRule("/b", MS - 250_000))
    CLOCK.advance(120)
    with caplog.at_level("WARNING", "collector"):
        collector.round()
    assert Counter(event["logGroup"] for event in collector.events) == {"/a": 3, "/b": 1}
    assert [(one.event, one.fields["service"]) for one in caplog.records] == [
        ("cursors_reset", f"logs {REGION}//a")
    ]


def test_without_start_an_old_group_begins_now_and_a_young_one_with_its_birth(poll):
    """A restart after a group was born loses none of it; years of an old group are not asked for."""
    fake_aws.put_log_group("/old", created=MS - 90 * 86_400_000)
    fake_aws.put_log_group("/young", created=MS - 3_600_000)
    for group in ("/old", "/young"):
        put(group, times=[MS - 3_500_000, MS + 1_000])
    collector = Collector(poll())
    collector.round()
    CLOCK.advance(120)
    collector.round()
    assert Counter(event["logGroup"] for event in collector.events) == {"/old": 1, "/young": 2}


def test_a_group_that_was_born_during_an_outage_begins_with_its_birth(poll):
    """However long the outage was; one that was there before, and not read, begins with the outage."""
    day = 86_400_000
    for group, age in (("/old", 9), ("/born", 4)):
        fake_aws.put_log_group(group, created=MS - age * day)
        put(group, times=[MS - 8 * day, MS - 4 * day - 500, MS - 3 * day, MS - 90_000])
    collector = Collector(poll())
    for target in (replace(one, since=MS - 7 * day) for one in collector.poll.targets()):
        while collector.once(target):
            pass
    assert Counter(event["logGroup"] for event in collector.events) == {"/born": 4, "/old": 3}


def test_groups_of_other_classes_are_left_out_and_told(poll, caplog):
    """Infrequent Access cannot be read by time: one warning, the others go on."""
    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS")
    fake_aws.put_log_group("/usual")
    logs = poll()
    assert [target.detail for target in logs.targets()] == ["/usual"]
    list(logs.targets())
    assert [record.message for record in caplog.records] == [
        "target_unreadable service=logs target=us-east-1//rare reason=log class INFREQUENT_ACCESS"
    ]


def test_r28_a_group_of_another_class_that_is_named_exactly(poll):
    """It is there, but of a class that is not read: nobody is told to create it."""
    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS")
    (found,) = poll(GroupRule("/rare")).targets()
    assert "is of class INFREQUENT_ACCESS" in found.what
    assert "create" not in found.hint


def test_a_region_that_fails_does_not_hide_the_others(poll, proxy):
    """A denied listing is an error in the list, not its end."""
    fake_aws.put_log_group("/g", region="eu-west-1")
    proxy.add("error", op="logs.DescribeLogGroups", code="AccessDeniedException", status=400, times=1)
    found = list(poll(regions=(REGION, "eu-west-1")).targets())
    assert isinstance(found[0], Denied)
    assert [target.key for target in found[1:]] == ["eu-west-1//g"]


def test_history_is_read_in_few_windows_and_nothing_twice(poll):
    """A start long ago: windows grow over empty time, and settled time is not read again."""
    ids = put(times=[MS - n * 3_600_000 for n in range(1, 24 * 60)])
    fake_aws.put_log_group("/g", created=MS - 61 * 86_400_000)
    collector = Collector(poll(GroupRule("/g", MS - 365 * 86_400_000)))
    collector.round()
    assert collector.ids == Counter(ids)
    assert fake_aws.served_counts()["logs.FilterLogEvents"] < 35


def test_h19_a_reply_without_its_list_is_no_empty_page(poll, proxy):
    """Half a JSON text, a proxy's page: the same window again, not the next one."""
    ids = put(times=[MS - 90_000 + k for k in range(6)])
    PLAN.page_size["FilterLogEvents"] = 2
    for do, after in (("short", 1), ("junk", 2), ("short", 4), ("truncate", 6)):
        proxy.add(do, op="logs.FilterLogEvents", after=after, times=1)
    collector = Collector(poll(GroupRule("/g", MS - 100_000)))
    collector.round()
    assert collector.ids == Counter(ids)
    assert {str(error).split(":")[0] for error in collector.errors} == {"reply is no JSON"}


def test_h19_a_listing_without_its_list_is_an_error(poll, proxy):
    """A hollow DescribeLogGroups does not make all groups vanish."""
    fake_aws.put_log_group("/g")
    proxy.add("junk", op="logs.DescribeLogGroups", times=1)
    assert [type(one) for one in poll().targets()] == [Transient]


def test_h18_an_expired_session_in_mid_page_is_renewed(proxy):
    """ExpiredToken between two pages: the session renews itself, no page is lost or repeated."""
    import boto3  # noqa: PLC0415

    from sources.aws.credentials import Credentials  # noqa: PLC0415

    iam = boto3.client("iam")
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.close()
    CLOCK.release()
    now = int(CLOCK.now() * 1000)
    ids = put(times=[now - 90_000 + k for k in range(9)])
    PLAN.page_size["FilterLogEvents"] = 3
    ended = proxy.add("call", op="logs.FilterLogEvents", after=1, times=1, then=fake_aws.expire_sessions)
    account = Account("main", Credentials(base_assume_role=arn, access_key="a", access_secret="b"))
    options = LogsOptions((REGION,), (GroupRule("/g", now - 100_000),))
    collector = Collector(CloudWatchLogs(account, options, UNLIMITED, threading.Event()))
    collector.round()
    assert ended.fired == 1
    assert collector.ids == Counter(ids)
    assert collector.errors == []


def test_prefixes_that_others_contain_are_not_listed_twice():
    """The fewest listings: one per prefix that no other contains."""
    assert widest(["/a/b", None, "/a/", "/c", "/a/", "/cd"]) == ["/a/", "/c"]
    assert widest(["/a", ""]) == [""]


@pytest.mark.parametrize(
    "scale", [2_500, pytest.param(100_000, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
)
def test_h15_h19_a_whole_service_loses_and_repeats_nothing(poll, proxy, scale, figures):
    """Streams and groups that come and go, 5 % late, bursts, all page sizes, faults: each event once."""
    world = World(scale, random.Random(scale))
    for do, share in (("error", 0.02), ("reset", 0.01), ("lost", 0.01), ("short", 0.01), ("junk", 0.01)):
        proxy.add(do, op="logs.*", probability=share)
    fake_aws.shuffle("FilterLogEvents")
    collector = Collector(poll(GroupRule("/", MS - 1000), period_seconds=60))
    for _ in range(960 // world.step):
        world.live(world.step)
        PLAN.page_size["FilterLogEvents"] = world.rng.choice(world.page_sizes)
        collector.round()
    lost, foreign = world.expected - set(collector.ids), set(collector.ids) - world.expected
    repeated = [one for one, times in collector.ids.items() if times > 1]
    figures(
        f"{len(world.expected)} events in {len(world.names)} streams, {len(collector.ids)} collected "
        f"in {fake_aws.served_counts()['logs.FilterLogEvents']} calls, "
        f"{len(collector.errors)} polls failed, {len(lost)} lost, {len(repeated)} repeated"
    )
    assert (lost, foreign, repeated) == (set(), set(), [])
    assert len(world.expected) > scale * 0.9


class World:
    """Writers of 300 streams in 40 groups, or a tenth of both; some groups and streams come and go."""

    def __init__(self, scale: int, rng: random.Random) -> None:
        self.rng = rng
        self.per_second = scale / 600
        self.expected: set[str] = set()
        self.passed = 0
        groups, streams = (40, 300) if scale > 10_000 else (4, 30)
        self.step = 60 if scale > 10_000 else 120
        self.page_sizes = [333, 10_000] if scale > 10_000 else [30, 10_000]
        self.names = [(f"/group/{n % groups}", f"stream-{n}") for n in range(streams)]

    def live(self, seconds: int) -> None:
        """Let time pass; while it is young enough, events are written and things come and go."""
        if self.passed < 600:
            self._write(seconds)
        self.passed += seconds
        CLOCK.advance(seconds)

    def _write(self, seconds: int) -> None:
        start = int(CLOCK.now() * 1000)
        for _ in range(int(self.per_second * seconds / 4)):
            group, stream = self.rng.choice(self.names)
            time = start + self.rng.randrange(seconds * 1000)
            late = (time - start) / 1000 + (self.rng.uniform(0, 90) if self.rng.random() < 0.05 else 0.5)
            burst = self.rng.choice([1, 1, 2, 4, 12])
            events = [{"timestamp": time, "message": f"m{n}", "late_s": late} for n in range(burst)]
            self.expected |= set(fake_aws.put_log_events(group, stream, events))
        group = f"/short/{self.passed}"
        self.expected |= set(put(group, times=[start + 1000], late_s=1))
        fake_aws.put_log_group(f"/empty/{self.passed}", created=start)
        if self.passed >= 360:
            delete(f"/empty/{self.passed - 120}")
            delete(f"/short/{self.passed - 240}")
