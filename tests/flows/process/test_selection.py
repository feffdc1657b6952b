"""Which services a process runs."""

import pytest

from flows.catalogue.services import units
from flows.config.load import SettingsError, load
from flows.process.selection import selected

CONFIG = """
inputs:
  one:
    id: "1"
    services:
      non-cloudwatch-logs:
        types: [flowlogs, cloudfrontlogs]
        regions: [eu-west-1]
        vpcflowlogs_sqs_queue_name: q
        cloudfrontlogs_sqs_queue_name: r
      audit-events-all: {types: [audits_api], regions: [eu-west-1]}
      apps: {types: [logs], regions: [eu-west-1], log_group: /app}
"""


@pytest.fixture
def running(tmp_path):
    """Return the services of a configuration with two queues and two APIs."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return units(load(path))


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", ["apps", "audits_api", "cloudfrontlogs", "flowlogs"]),
        ("queues", ["cloudfrontlogs", "flowlogs"]),
        ("apis", ["apps", "audits_api"]),
        ("flowlogs", ["flowlogs"]),
        ("non-cloudwatch-logs", ["cloudfrontlogs", "flowlogs"]),
        ("logs", ["apps"]),
        (" apps , flowlogs,", ["apps", "flowlogs"]),
        ("queues,apps", ["apps", "cloudfrontlogs", "flowlogs"]),
    ],
)
def test_services_are_chosen_by_family_or_name(running, only, names):
    """Family, service and key under `services` choose; several are added up."""
    assert sorted(unit.name for unit in selected(running, only)) == names


@pytest.mark.parametrize(
    ("only", "hint"), [("flowlog", "did you mean flowlogs?"), ("xyzzy", "name some of: apis, apps")]
)
def test_an_unknown_name_is_told(running, only, hint):
    """A name that nothing has would run nothing in silence: it is an error that names the nearest."""
    with pytest.raises(SettingsError) as told:
        selected(running, only)
    assert hint in str(told.value)


def test_nothing_left_to_run_is_told(running):
    """A family without an enabled service is an error, not a process that idles for ever."""
    with pytest.raises(SettingsError, match="no enabled service"):
        selected([unit for unit in running if unit.name == "apps"], "queues")
