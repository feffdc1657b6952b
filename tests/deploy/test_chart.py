"""The Helm chart, rendered by Helm's own engine, checked against Kubernetes' schemas (extra `[deploy]`)."""

from pathlib import Path

import pytest
import yaml

from flows.cli import parser
from flows.process.runtime import launch
from tests.deploy.image import ROOT

helm = pytest.importorskip("helm_python", reason="needs the extra [deploy]")
kubernetes = pytest.importorskip("kubernetes_validate", reason="needs the extra [deploy]")

CHART = ROOT / "deploy/helm/devo-aws-collector"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
KUBERNETES = ("1.27", "1.37")
_NO_SCHEMA = {"ServiceMonitor"}
"""Kinds of an operator, not of Kubernetes itself."""


def rendered(values, name="siem-aws", namespace="siem"):
    """Return every manifest of the chart, by (kind, name)."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=name, namespace=namespace)
    files = (text for path, text in texts.items() if path.endswith(".yaml"))
    found = (one for text in files for one in yaml.safe_load_all(text) if one)
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def only(manifests, kind):
    """Return the one manifest of a kind."""
    return next(one for (found, _), one in manifests.items() if found == kind)


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request):
    return yaml.safe_load(request.param.read_text())


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_what_kubernetes_takes(values, version):
    """Every manifest passes the strict schema of the oldest and the newest Kubernetes that we name."""
    checked = [one for (kind, _), one in rendered(values).items() if kind not in _NO_SCHEMA]
    for one in checked:
        kubernetes.validate(one, version, strict=True)
    assert {"StatefulSet", "Service", "ConfigMap"} <= {one["kind"] for one in checked}


def test_helm_lint_finds_nothing(values):
    """Helm's own linter has neither an error nor a warning (severity 2 and 3)."""
    report = helm.chart.lint(str(CHART), values, strict=True)
    assert report["total_charts_linted"] == 1
    assert [one for one in report["messages"] if one["severity"] > 1] == report["errors"] == []


def test_pods_find_their_place_in_the_cluster(values, tmp_path):
    """The rendered pod's variables and host file give each process its id and all addresses, in one order."""
    manifests = rendered(values)
    stateful = only(manifests, "StatefulSet")
    pod = stateful["spec"]["template"]["spec"]["containers"][0]
    hosts = tmp_path / "hostfile.txt"
    hosts.write_text(manifests["ConfigMap", f"{stateful['metadata']['name']}-hosts"]["data"]["hostfile.txt"])
    env = {one["name"]: one.get("value", "") for one in pod["env"]} | {"BYTEWAX_HOSTFILE_PATH": str(hosts)}
    count, name = stateful["spec"]["replicas"], stateful["metadata"]["name"]
    for index in range(count):
        here = launch(["run", *pod["args"]], {**env, "BYTEWAX_POD_NAME": f"{name}-{index}"})
        assert (here.process.index, here.process.count) == (index, count)
        if count > 1:
            assert here.addresses[index].startswith(
                f"{name}-{index}.{stateful['spec']['serviceName']}.siem.svc"
            )
    parser().parse_args(["run", *pod["args"]])


def test_pods_have_no_more_rights_than_they_need(values):
    """Non-root, read-only, no capability, no token of Kubernetes, secrets as files only."""
    manifests = rendered(values)
    spec = only(manifests, "StatefulSet")["spec"]["template"]["spec"]
    pod = spec["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod["securityContext"]["allowPrivilegeEscalation"]
    account = [one for (kind, _), one in manifests.items() if kind == "ServiceAccount"]
    assert all(one["automountServiceAccountToken"] is False for one in account)
    writable = {mount["mountPath"] for mount in pod["volumeMounts"] if not mount.get("readOnly")}
    assert writable <= {"/tmp", "/collector/state"}  # noqa: S108 - the pod's


def test_a_drain_has_the_time_that_it_needs(values):
    """Kubernetes waits longer than a drain takes before it kills; less is refused."""
    stateful = only(rendered(values), "StatefulSet")
    assert stateful["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
    with pytest.raises(Exception, match="terminationGracePeriodSeconds"):
        rendered({**values, "terminationGracePeriodSeconds": 10})


def test_without_a_configuration_the_chart_says_so():
    """An empty installation is refused with what to set."""
    with pytest.raises(Exception, match=r"no configuration: configuration\.config: set it"):
        rendered({})


def test_a_changed_size_or_configuration_rolls_the_pods():
    """A pod that runs on with an old host file would wait for a process that is gone."""
    values = yaml.safe_load((VALUES[1]).read_text())
    before = only(rendered(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    values["configuration"]["processesCount"] += 1
    after = only(rendered(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert before["checksum/hosts"] != after["checksum/hosts"]
    assert before["checksum/config"] == after["checksum/config"]
