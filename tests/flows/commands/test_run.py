"""How `run --processes N` divides a configuration."""

import pytest

from flows.catalogue.services import units
from flows.commands.run import RunRequest, members_of
from flows.config.load import load
from flows.process.selection import selected

CONFIG = """
inputs:
  one:
    id: "1"
    services:
      non-cloudwatch-logs: {types: [flowlogs], regions: [eu-west-1], queue_name: q}
      audit-events-all: {types: [audits_s3, audits_api], regions: [eu-west-1], audit_sqs_queue_name: q}
"""


def divided(tmp_path, only="", **asked):
    """Return name → arguments of each process."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    settings = load(path)
    running = selected(units(settings), only)
    made = members_of(settings, running, RunRequest(**asked), tmp_path / "state")
    return {one.name: " ".join(one.arguments).replace(str(tmp_path), "") for one in made}


def test_queues_are_shared_and_apis_have_one_owner(tmp_path):
    """All but one read the queues, each with a state of its own; the APIs go on in the state there was."""
    common = "run --workers 1 --interval 3.0 --config /config.yaml --only"
    assert divided(tmp_path, processes=2) == {
        "queues-0": f"{common} audits_s3,flowlogs --state /state/queues/0",
        "queues-1": f"{common} audits_s3,flowlogs --state /state/queues/1",
        "apis": f"{common} audits_api --state /state --cluster 1",
    }


@pytest.mark.parametrize(
    ("only", "names"),
    [("queues", ["queues-0", "queues-1"]), ("apis", ["apis"]), ("flowlogs", ["queues-0", "queues-1"])],
)
def test_only_what_is_selected_is_divided(tmp_path, only, names):
    """`--only` before `--processes`: what is left out has no process."""
    assert list(divided(tmp_path, only, processes=2)) == names


def test_the_apis_may_be_a_cluster(tmp_path):
    """`--cluster` beside `--processes` is the size of the APIs' share."""
    assert divided(tmp_path, processes=2, cluster=3)["apis"].endswith("--cluster 3")
