"""How events look: what is told of fields and names that come and go, and what is kept."""

import json
from types import SimpleNamespace

import pytest

from flows.silence.drift import FOLDER, MOST_FIELDS, SchemaWatch
from transforms.block import Block, Origin
from transforms.telemetry import listen, total, unlisten

UNIT = SimpleNamespace(service=SimpleNamespace(name="audits_s3", event_name=("eventName",)))
ORIGIN = Origin("audits_s3", "123456789012", "eu-west-1")
USUAL = {"eventName": "GetObject", "eventTime": "now", "userAgent": "x"}


class World:
    """A watch whose days are moved by hand; told: what it logged."""

    def __init__(self, file=None):
        self.at, self.told, self.file = 0.0, [], file
        self.begin()

    def begin(self):
        self.watch = SchemaWatch(self.file, lambda: self.at)
        self.transform = self.watch.sampling(UNIT, lambda block: [block])

    def hear(self, event, fields):
        if event == "schema_changed":
            self.told.append({name: fields[name] for name in fields if name.startswith(("field", "event_"))})

    def days(self, count, *events, looks=24):
        """Let days pass; in each look a block of these events comes."""
        payload = b"".join(json.dumps(one).encode() + b"\n" for one in events)
        listen(self.hear)
        try:
            for _ in range(count * looks):
                self.at += 86_400 / looks
                self.watch.look()
                assert list(self.transform(Block(payload, len(events), ORIGIN)))
        finally:
            unlisten(self.hear)


def test_what_is_new_is_told_once():
    """A field and a name that come after the first week: once, a day later, and counted."""
    world = World()
    world.days(10, *[USUAL] * 10)
    assert world.told == []
    before = total("schema_changes", change="field_new")
    world.days(3, *[USUAL] * 9, {**USUAL, "eventName": "PutObject", "tlsDetails": {}})
    assert world.told == [{"field_new": "tlsDetails", "event_new": "PutObject"}]
    assert total("schema_changes", change="field_new") == before + 1


def test_a_field_that_all_had_is_missed_after_a_day():
    """It is gone: told once; when it comes again it is new."""
    world = World()
    world.days(10, *[USUAL] * 10)
    without = {name: value for name, value in USUAL.items() if name != "userAgent"}
    world.days(5, *[without] * 10)
    assert world.told == [{"field_gone": "userAgent"}]
    world.days(2, *[USUAL] * 10)
    assert world.told[1:] == [{"field_new": "userAgent"}]


def test_a_field_of_working_days_is_not_missed_at_the_weekend():
    """A tenth of the events has it on five days of seven: nothing is told."""
    world = World()
    rare = [*[USUAL] * 9, {**USUAL, "errorCode": "AccessDenied"}]
    for _ in range(6):
        world.days(5, *rare)
        world.days(2, *[USUAL] * 10)
    assert world.told == []
    world.days(12, *[USUAL] * 10)
    assert world.told == [{"field_gone": "errorCode"}]


def test_a_restart_calls_nothing_new(tmp_path):
    """What was known is known again, and what was to be told is told."""
    world = World(tmp_path / FOLDER / "0.state")
    world.days(10, *[USUAL] * 10)
    world.days(1, {**USUAL, "tlsDetails": {}}, looks=3)
    world.watch.save()
    world.begin()
    world.days(2, {**USUAL, "tlsDetails": {}})
    assert world.told == [{"field_new": "tlsDetails"}]


def test_a_state_that_cannot_be_read_is_begun_anew(tmp_path):
    """Of another release, or torn."""
    (tmp_path / "0.state").write_bytes(b"\xc1 torn")
    world = World(tmp_path / "0.state")
    world.days(10, USUAL)
    assert world.told == []


def test_names_are_bounded():
    """Whoever makes up fields fills no memory, and what is long is cut."""
    world = World()
    for number in range(60):
        world.days(
            1, *[{f"{'x' * 100}{number}-{one}": 1, f"f{number}-{one}": 1} for one in range(40)], looks=4
        )
    (known,) = world.watch._known.values()
    assert len(known.fields) <= MOST_FIELDS
    assert max(map(len, known.fields)) <= 64


@pytest.mark.parametrize("payload", [b"2 123 eni-1\n", b"{broken\n", b"[1]\n", b"x" * 99_999 + b"\n"])
def test_text_that_is_no_json_has_no_fields(payload):
    """Flow logs and damaged lines pass, and nothing is said."""
    world = World()
    for _ in range(10):
        world.watch.look()
        assert list(world.transform(Block(payload, 1, ORIGIN)))
    world.watch.look()
    assert not any(one.fields for one in world.watch._known.values())
