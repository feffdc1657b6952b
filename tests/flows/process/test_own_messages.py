"""The collector's own messages as events: columns, bounds, and no loop."""

import ast
import json
import logging
import threading
from pathlib import Path

import pytest

import sinks.telemetry
from flows.process import own_messages as module
from flows.process.own_messages import TAG, OwnMessages, OwnMessageSource, own_messages
from sinks.errors import DeliveryError
from sources.errors import Denied
from transforms.telemetry import LOG, say


@pytest.fixture
def told(monkeypatch):
    """Return (what takes own messages, its time as a list of one)."""
    now = [0.0]
    handler = OwnMessages("aws", logging.INFO, lambda: now[0])
    monkeypatch.setattr(LOG, "handlers", [handler])
    monkeypatch.setattr(LOG, "level", logging.DEBUG)
    LOG.manager.loggerDict  # noqa: B018 - a logger remembers which levels are on
    LOG._cache.clear()
    yield handler, now
    LOG._cache.clear()


def lines(handler):
    return [json.loads(line) for line in handler.take()]


def test_a_message_has_devos_columns(told):
    """Collector, input, service, level and text, as the log has them."""
    error = Denied("no s3:ListBucket", "bucket b", "allow it")
    say(logging.WARNING, "poll_failed", service="cisco-umbrella", input="cisco", error=error)
    (found,) = lines(told[0])
    assert (found["collector_name"], found["input_name"]) == ("aws", "cisco")
    assert (found["service_name"], found["level2"]) == ("cisco-umbrella", "warning")
    assert found["msg"].startswith("poll_failed service=cisco-umbrella")
    assert "no s3:ListBucket" in found["msg"]


def test_what_is_below_the_level_is_not_sent(told):
    """Debug events stay in the log."""
    say(logging.DEBUG, "object_collected", service="x")
    assert lines(told[0]) == []


def test_more_than_a_minute_takes_is_counted(told):
    """The next message tells how many were left out; a line is bounded, and so are those that wait."""
    handler, now = told
    for number in range(module.A_MINUTE + 40):
        say(logging.INFO, f"event_{number}", text="x" * 100_000)
    assert len(handler.take()) == module.A_MINUTE
    now[0] += 61
    say(logging.INFO, "later", text="x" * 100_000)
    (found,) = lines(handler)
    assert "40 before it were left out" in found["msg"]
    assert len(found["msg"]) < 9_000


def test_what_waits_is_bounded(told):
    """While outputs are blocked the oldest go; nothing waits for room."""
    handler, now = told
    for number in range(3_000):
        now[0] += 2
        say(logging.INFO, "event", number=number)
    found = lines(handler)
    assert len(found) == 1_000
    assert found[-1]["msg"].endswith("number=2999")


ABOUT_DATA = {"poison_kept", "quarantine_full", "quarantine_room", "quarantine_freed"}
"""What sinks say of data, not of delivery."""


def said():
    """Return (event, fields) of everything that outputs say at level info or above."""
    for call in ast.walk(ast.parse(Path(sinks.telemetry.__file__).read_text())):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "say" and len(call.args) > 1:
            texts = (one.value for one in ast.walk(call.args[1]) if isinstance(one, ast.Constant))
            for event in (text for text in texts if isinstance(text, str)):
                yield event, {keyword.arg: "x" for keyword in call.keywords if keyword.arg}


def test_nothing_that_outputs_say_of_delivery_is_sent(told):
    """A message about a delivery would make another one, for ever."""
    handler, _ = told
    found = list(said())
    assert len(found) > 8
    for event, fields in found:
        say(logging.ERROR, event, **fields)
    say(logging.WARNING, "delivery_retried", output="devo", error=DeliveryError("no", "there", "wait"))
    assert {line["msg"].partition(" ")[0] for line in lines(handler)} <= ABOUT_DATA


def test_lanes_emit_what_waits_and_end_with_the_drain(told):
    """One block under Devo's tag, from whichever lane is called; no lane keeps a process from its end."""
    handler, _ = told
    drain = threading.Event()
    source = OwnMessageSource(handler, drain)
    parts = [source.build_part("step", key, None) for key in source.list_parts()]
    say(logging.INFO, "one")
    say(logging.INFO, "two")
    (block,) = parts[3].next_batch()
    assert (block.tag, block.count) == (TAG, 2)
    assert parts[0].next_batch() == []
    drain.set()
    say(logging.INFO, "last")
    assert parts[0].next_batch()[0].count == 1
    with pytest.raises(StopIteration):
        parts[0].next_batch()


def test_the_level_is_that_of_the_configuration(told):
    """Of `error`, warnings stay in the log."""
    source = own_messages("aws", "error", threading.Event())
    say(logging.WARNING, "warned")
    say(logging.ERROR, "failed")
    (block,) = source.build_part("step", "lane-0", None).next_batch()
    assert json.loads(block.payload)["msg"] == "failed"
