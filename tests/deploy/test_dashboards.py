"""Dashboard, alerts and compose file: what they name exists, in a running collector or this repository."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes import prometheus
from tests.fakes.process import wait_until
from tests.flows.status.world import World, running

DEPLOY = Path(__file__).parents[2] / "deploy"
JOB = "devo-aws-collector"
USERS_OWN = {"config", "certs", "credentials"}
"""What whoever runs the compose file puts beside it."""

pytestmark = pytest.mark.timeout(400)


def panels() -> Iterator[tuple[str, str]]:
    """Yield title and expression of every query of the dashboard, as Grafana sends it."""
    for panel in json.loads((DEPLOY / "grafana/dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield panel["title"], expression


def alerts() -> dict[str, str]:
    """Return the expression of every alert by name."""
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def names(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    return set(re.findall(r"\b(?:collector|process)_[a-z_]+", expression))


@pytest.fixture(scope="module")
def world(certs, tmp_path_factory) -> Iterator[World]:
    """Return the demo's services under collection, after nonsense, a failing source and an outage."""
    with running(tmp_path_factory.mktemp("world"), certs) as started:
        started.put()
        started.put_nonsense()
        started.put_unread()
        started.await_delivered()
        started.devo_goes()
        started.devo_comes()
        wait_until(lambda: "collector_poison_total{" in started.get("/metrics")[2], 90, "quarantine", 0.2)
        for name in ("objects_missing", "notices_ignored"):
            wait_until(lambda n=name: f"collector_{n}_total{{" in started.get("/metrics")[2], 90, name, 0.2)
        wait_until(lambda: "collector_leases_held{" in started.get("/metrics")[2], 90, "leases", 0.2)
        yield started


@pytest.fixture(scope="module")
def scraped(world, tmp_path_factory) -> Iterator[prometheus.Prometheus]:
    """Return a real Prometheus that scrapes the running collector, with our alerts."""
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus.scraping(world.port, JOB, DEPLOY / "prometheus/alerts.yml", folder) as started:
        yield started


def test_every_metric_that_is_named_is_served(world):
    """Each metric name in a panel or an alert is one that the running collector serves."""
    served = set(re.findall(r"^(\w+)", world.get("/metrics")[2], re.MULTILINE))
    named = {name for _, expression in panels() for name in names(expression)}
    named |= {name for expression in alerts().values() for name in names(expression)}
    assert len(named) > 20
    assert named - served == set()


def shown() -> Iterator[tuple[str, set[str]]]:
    """Yield each expression with the labels that it sorts by and that its legend or message shows."""
    for panel in json.loads((DEPLOY / "grafana/dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"], set(re.findall(r"{{(\w+)}}", target.get("legendFormat") or ""))
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        yield rule["expr"], set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))


def test_every_label_that_is_named_is_served(world):
    """What a legend or a message shows, and what a query sorts by, are labels of its metric."""
    served = {
        name: set(re.findall(r'(\w+)="', labels))
        for name, labels in re.findall(r"^(\w+)\{(.*)\} ", world.get("/metrics")[2], re.MULTILINE)
    }
    for expression, labels in shown():
        sorts = [label for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in by.split(", ")]
        known = set().union(*(served.get(name, set()) for name in names(expression)))
        assert labels | {*sorts} <= known | {"instance", "job"}, expression


def test_every_panel_has_data(world, scraped, figures):
    """A real Prometheus answers every query of the dashboard without an error, and with data."""
    world.put()  # so that something moves while it is scraped
    world.await_delivered()
    silent = dict.fromkeys(panels(), "")
    wait_until(
        lambda: all(scraped.query(expression) for _, expression in silent),
        90,
        "data in every panel",
        1,
    )
    rows = [f"{title:30} {len(scraped.query(expression)):3} series" for title, expression in silent]
    figures("\n".join([f"{len(rows)} queries of the dashboard, in a real Prometheus:", *rows]))


def test_alerts_notice_what_is_wrong(world, scraped, figures):
    """Every rule is evaluated without an error; what is wrong is noticed, an outage is no hang."""

    def rules():
        return {rule["name"]: rule for group in scraped.ask("rules")["groups"] for rule in group["rules"]}

    wait_until(lambda: all(rule["health"] == "ok" for rule in rules().values()), 60, "evaluated", 0.5)
    assert rules().keys() == alerts().keys()
    wait_until(lambda: rules()["SourceFails"]["state"] == "pending", 60, "the failing source is noticed", 0.5)
    wait_until(lambda: rules()["Quarantine"]["state"] == "firing", 60, "the quarantine is noticed", 0.5)
    world.devo_goes()
    try:
        wait_until(lambda: rules()["OutputDown"]["state"] == "pending", 60, "the outage is noticed", 0.5)
        assert rules()["CollectorHangs"]["state"] == "inactive"
        assert rules()["CollectorDown"]["state"] == "inactive"
        figures("\n".join(f"{name:20} {rule['state']}" for name, rule in rules().items()))
    finally:
        world.devo_comes()


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_every_alert_has_a_runbook():
    """Each alert names a section of its own, and no section is of an alert that is gone."""
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    books = {one["alert"]: one["annotations"]["runbook"] for group in groups for one in group["rules"]}
    for book in books.values():
        place, _, anchor = book.partition("#")
        assert place in {"docs/operate.md", "docs/errors.md"}
        assert anchor in anchors(DEPLOY.parent / place)
    assert len(set(books.values())) == len(books)
    written = (DEPLOY.parent / "docs/operate.md").read_text().partition("## When an alert fires")[2]
    assert re.findall(r"^### (\w+)$", written.partition("\n## ")[0], re.MULTILINE) == [*books]


def test_links_within_the_runbooks_lead_somewhere():
    """A person who follows a runbook's link at night lands in its section."""
    for document in (DEPLOY.parent / "docs").glob("*.md"):
        for place, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]+)\)", document.read_text()):
            target = document.parent / place if place else document
            assert anchor in anchors(target), f"{document.name}: {place}#{anchor}"


def test_promtool_accepts_configuration_and_rules():
    """Prometheus' own tool finds nothing wrong with what is deployed."""
    assert "rules found" in prometheus.check(DEPLOY / "prometheus/prometheus.yml")


def compose() -> dict[str, dict]:
    """Return the services of the compose file, anchors merged."""
    return yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]


def test_what_the_compose_file_mounts_exists():
    """Every file and folder that is mounted or built from is in the repository, but for the user's own."""
    for name, service in compose().items():
        sources = [mount.partition(":")[0] for mount in service.get("volumes", ())]
        build = service.get("build", {})
        if "dockerfile" in build:
            sources.append(f"./{build['context']}/{build['dockerfile']}")
        for source in sources:
            if source.startswith(".") and Path(source).name not in USERS_OWN:
                assert (DEPLOY / "docker" / source).exists(), f"{name}: {source}"


def test_prometheus_finds_the_compose_files_collectors():
    """Prometheus asks for the alias and the port under which collectors show their status to the network."""
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    (found,) = scrape["dns_sd_configs"]
    assert scrape["job_name"] == JOB
    for name in ("collector", "demo"):
        service = compose()[name]
        assert service["networks"]["default"]["aliases"] == found["names"]
        assert service["environment"]["COLLECTOR_STATUS"] == f"0.0.0.0:{found['port']}"


def test_the_demo_profile_alone_needs_no_account():
    """Without the profile three services start; what the demo needs starts with it, and only on loopback."""
    services = compose()
    assert {name for name, one in services.items() if "profiles" not in one} == {
        "collector",
        "prometheus",
        "grafana",
    }
    assert {name for name, one in services.items() if one.get("profiles") == ["demo"]} == {
        "demo",
        "aws",
        "fill",
        "rsyslog",
    }
    ports = [port for one in services.values() for port in one.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_grafana_is_given_the_dashboard_and_its_source():
    """The dashboard's data source is the provisioned one, and it lies in the folder that is looked in."""
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    providers = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/collector.yaml").read_text())
    variables = json.loads((DEPLOY / "grafana/dashboard.json").read_text())["templating"]["list"]
    assert variables[0]["current"]["value"] == provisioned["datasources"][0]["uid"]
    folder = providers["providers"][0]["options"]["path"]
    assert f"../grafana/dashboard.json:{folder}/dashboard.json:ro" in compose()["grafana"]["volumes"]
