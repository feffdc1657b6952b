"""Names that come from events are labels only so far as their number is bounded."""

from flows.catalogue import telemetry
from transforms.telemetry import total


def test_services_without_a_table_are_labels_up_to_a_bound(monkeypatch):
    """So many names are counted one by one, the rest together; a name is told once, and fits a line."""
    said = []
    monkeypatch.setattr(telemetry, "_TOLD", set())
    monkeypatch.setattr(telemetry, "say", lambda *_level, **fields: said.append(fields["event_source"]))
    for number in range(150):
        for _ in range(2):
            telemetry.table_missing("bounded", f"s{number}.amazonaws.com\n", 3)
    assert total("cloudtrail_table_missing", service="bounded") == 900
    assert total("cloudtrail_table_missing", service="bounded", event_source="others") == 300
    assert len(said) == 100
    assert said[0] == "s0.amazonaws.com\\n"
