"""The offline checks of a configuration: each fault has its one line."""

import socket

import pytest

from tests.flows.check.conftest import config, flow_logs

URL = "https://sqs.eu-west-1.amazonaws.com/111111111111/flow"
UMBRELLA = {"regions": ["us-east-1"]}


def test_a_good_configuration_has_nothing_to_be_told(look):
    """Without a fault there is one ok line for the configuration, no warning and no failure."""
    look(config(flow_logs("flow")), offline=True)
    assert not look.of("fail")
    assert not look.of("warn")
    assert look.line("settings").startswith("ok    settings                1 service of 1 input: ")


def test_an_unknown_key_is_named_with_its_neighbour(look):
    """A misspelt key fails, with its path and the nearest known key."""
    look(config(flow_logs("flow", regoins=["eu-west-1"])), offline=True)
    line = look.only("fail", "unknown_key")
    assert "unknown key regoins" in line
    assert "config.yaml: inputs.aws.services.non-cloudwatch-logs.regoins: did you mean regions?" in line


@pytest.mark.parametrize(("pattern", "told"), [("[a-", "missing"), ("(a)\\1", "no back-references")])
def test_a_bad_regex_is_named(look, pattern, told):
    """A regular expression that RE2 cannot read fails and names its key."""
    look(config(flow_logs("flow", s3_file_type_filter=pattern)), offline=True)
    line = look.only("fail", "regex")
    assert told in line
    assert "s3_file_type_filter" in line


def test_filters_and_masks_are_told(look):
    """What is left out or hidden by the configuration stands in a line for each service."""
    filters = {"keep_one_in": 10, "line_filter_rules": [[{"pattern": "NODATA"}]], "format": "json"}
    hidden = {"mask": {"keys": ["srcaddr"]}, "filename_filter_rules": [[{"pattern": "tmp"}]]}
    look(config(flow_logs("flow", **filters, **hidden)), offline=True)
    line = look.line("filters")
    assert "left out by line_filter_rules[0], keep_one_in, filename_filter_rules; masked: srcaddr" in line


def test_several_errors_are_several_lines(look):
    """Every error of a configuration has a line of its own."""
    look(config(flow_logs("flow", regoins=1, typs=2)), offline=True)
    assert [one.code for one in look.found] == ["unknown_key", "unknown_key"]


def test_a_warning_of_the_settings_is_a_warning_here(look):
    """What has no effect is told, and does not fail."""
    look(config(flow_logs("flow", requests_per_second=5)), offline=True)
    assert "requests_per_second: see" in look.only("warn", "settings_warning")


@pytest.mark.parametrize("name", ["flow", "https://sqs.us-east-1.amazonaws.com/111111111111/flow"])
def test_two_services_on_one_queue(look, name):
    """Services that read one queue fail, by name or by URL, with both of their places."""
    both = flow_logs("flow") | {"cisco-umbrella": {**UMBRELLA, "cisco_umbrella_sqs_queue_name": name}}
    line = look(config(both), offline=True).only("fail", "queue_shared")
    assert "inputs.aws.services.non-cloudwatch-logs (flowlogs) and inputs.aws.services.cisco-umbrella" in line


@pytest.mark.parametrize("name", ["other", "https://sqs.eu-west-1.amazonaws.com/111111111111/flow"])
def test_two_services_on_two_queues(look, name):
    """Queues of other names, or of other regions, are not shared."""
    both = flow_logs("flow") | {"cisco-umbrella": {"cisco_umbrella_sqs_queue_name": name, **UMBRELLA}}
    assert not look(config(both), offline=True).of("fail")


def test_inputs_of_two_accounts_may_have_queues_of_one_name(look):
    """A bare name is one of the input's own account, so two inputs do not share it."""
    content = config(flow_logs("flow"))
    content["inputs"]["second"] = {**content["inputs"]["aws"], "id": "2"}
    assert not look(content, offline=True).of("fail")


def test_inputs_share_a_queue_of_one_url(look):
    """A URL names one queue, whoever reads it."""
    content = config(flow_logs(URL))
    content["inputs"]["second"] = {**content["inputs"]["aws"], "id": "2"}
    assert "inputs.aws.services" in look(content, offline=True).only("fail", "queue_shared")


def test_a_url_of_another_region(look):
    """A queue URL of a region that `regions` does not name is told."""
    line = look(config(flow_logs(URL, "us-east-1")), offline=True).only("warn", "queue_region")
    assert "is of eu-west-1, regions names us-east-1" in line


def test_a_url_out_of_a_template(look):
    """Devo's example has `id` where the account's number belongs: told before AWS is asked."""
    url = "https://us-west-1.queue.amazonaws.com/id/name-of-queue"
    line = look(config(flow_logs(url, "us-west-1")), offline=True).only("warn", "queue_account")
    assert "has id where the account's 12 digits belong" in line


def test_visibility_under_three_intervals(look):
    """A lease of less than three intervals is told, by the interval that run will be given."""
    content = config(flow_logs("flow", visibility_timeout_seconds=8))
    assert "is 8, under three intervals of 3 s" in look(content, offline=True).only("warn", "visibility")
    assert not look(content, offline=True, interval=2.0).of("warn")


def test_a_folder_that_cannot_be_written(look, tmp_path):
    """A recovery directory below a file fails."""
    (tmp_path / "file").write_text("")
    top = {"globals": {"persistence": {"config": {"directory_name": str(tmp_path / "file/state")}}}}
    found = look(config(flow_logs("flow"), **top), offline=True).of("fail")
    assert found[0].code == "folder"
    assert "is no folder" in found[0].what
    assert found[0].where == "globals.persistence.config.directory_name"


def test_empty_tag_columns_are_told(look):
    """The line of the settings names the services whose events tell no account and region, and the cure."""
    look(config(flow_logs("flow")), offline=True)
    cure = "tag_suffix: account_region fills Devo's columns of account and region, now empty, of flowlogs"
    assert look.line("settings").endswith(f": {cure}")
    look(config(flow_logs("flow", tag_suffix="account_region")), offline=True)
    assert "tag_suffix" not in look.line("settings")


@pytest.mark.parametrize("by", ["settings", "environment"])
def test_a_status_port_that_is_taken(look, monkeypatch, by):
    """A status address on which something listens is told, with who says it; it stops nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        if by == "environment":
            monkeypatch.setenv("COLLECTOR_STATUS", place)
        top = {"globals": {"status": place}} if by == "settings" else {}
        line = look(config(flow_logs("flow"), **top), offline=True).only("warn", "status_port")
    assert f"cannot listen on {place} for status, probes and metrics (address already in use)" in line
    assert ("globals.status" if by == "settings" else "COLLECTOR_STATUS") in line
    assert not look(config(flow_logs("flow"), **top), offline=True).of("warn")


def test_a_status_port_that_is_taken_by_the_older_protocol(look):
    """`[::]` listens for IPv4 too, so whoever has the port there is in its way, as `run` says."""
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"[::]:{taken.getsockname()[1]}"
        line = look(config(flow_logs("flow"), globals={"status": place}), offline=True).only(
            "warn", "status_port"
        )
    assert f"cannot listen on {place} for status, probes and metrics (address already in use)" in line


def test_a_status_address_that_is_none(look):
    """A status address that cannot be one fails."""
    found = look(config(flow_logs("flow"), globals={"status": "here:99999"}), offline=True)
    assert "status address is not usable (here:99999)" in found.only("fail", "status_port")


def test_a_budget_says_what_it_never_touches(look):
    """A line for each budget names what waits for it and what never does; one under the plan is a warning."""
    services = {
        "audit-events-all": {"types": ["audits_api"], "regions": ["eu-west-1"]},
        "metrics-all": {"regions": ["eu-west-1"], "budget": {"usd_per_month": 0.5, "on_exceed": "stop"}},
    }
    look(
        {"inputs": {"aws": {"id": "1", "budget": {"usd_per_month": 500}, "services": services}}}, offline=True
    )
    told = [str(one) for one in look.found if one.code == "budget"]
    assert "500 USD a month: slows metrics-all; never slowed or stopped: audits_api: inputs.aws" in told[0]
    assert "0.5 USD a month: stops metrics-all: inputs.aws.services.metrics-all" in told[1]
    assert "the plan says" in told[2]
    assert "stop lets work rest" in told[3]


@pytest.mark.parametrize(("usd", "warned"), [(0.001, True), (500, False)])
def test_a_budget_that_protected_services_use_up_is_told(look, usd, warned):
    """Under `slow`, too, it is told where what never waits leaves next to nothing for the others."""
    services = {
        "audit-events-all": {"types": ["audits_api"], "regions": ["eu-west-1"]},
        "metrics-all": {"regions": ["eu-west-1"]},
    }
    budget = {"usd_per_month": usd, "on_exceed": "slow"}
    look({"inputs": {"aws": {"id": "1", "budget": budget, "services": services}}}, offline=True)
    told = [str(one) for one in look.found if one.code == "budget"]
    assert any("audits_api leave" in one for one in told) == warned
