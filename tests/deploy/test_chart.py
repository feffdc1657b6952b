"""The Helm chart, rendered by Helm's own engine, checked against Kubernetes' schemas (extra `[deploy]`)."""

import copy
import json
from collections.abc import Mapping
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
OPERATORS = {"PrometheusRule", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"}
"""Kinds of an operator, not of Kubernetes itself."""

KEDA = {
    "ScaledObject": {
        "scaleTargetRef": {"apiVersion", "kind", "name", "envSourceContainerName"},
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "pollingInterval": int,
        "triggers": {"type", "metadata", "metricType", "name", "authenticationRef"},
    },
    "TriggerAuthentication": {"podIdentity": {"provider", "roleArn", "identityOwner"}},
}
"""What the chart may use of KEDA's own definitions (its CRDs, config/crd/bases)."""


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


def pods(manifests):
    """Return the specifications of all pods, by what they run (`queues`, `apis`, `` = everything)."""
    found = [
        one["spec"]["template"]["spec"]
        for (kind, _), one in manifests.items()
        if "template" in one.get("spec", {})
    ]
    return {parser().parse_args(["run", *one["containers"][0]["args"]]).only or "": one for one in found}


def of(name):
    """Return values of this folder."""
    return yaml.safe_load((Path(__file__).parent / f"values/{name}.yaml").read_text())


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request):
    return yaml.safe_load(request.param.read_text())


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_what_kubernetes_takes(values, version):
    """Every manifest passes the strict schema of the oldest and the newest Kubernetes that we name."""
    checked = [one for (kind, _), one in rendered(values).items() if kind not in OPERATORS]
    for one in checked:
        kubernetes.validate(one, version, strict=True)
    assert {"Service"} < {one["kind"] for one in checked}


def test_helm_lint_finds_nothing(values):
    """Helm's own linter has neither an error nor a warning (severity 2 and 3)."""
    report = helm.chart.lint(str(CHART), values, strict=True)
    assert report["total_charts_linted"] == 1
    assert [one for one in report["messages"] if one["severity"] > 1] == report["errors"] == []


@pytest.mark.parametrize("name", ["cluster", "single"])
def test_pods_find_their_place_in_the_cluster(name, tmp_path):
    """The rendered pod's variables and host file give each process its id and all addresses, in one order."""
    manifests = rendered(of(name))
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
    for spec in pods(manifests).values():
        pod = spec["containers"][0]
        assert spec["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["readOnlyRootFilesystem"]
        assert pod["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not pod["securityContext"]["allowPrivilegeEscalation"]
        assert not spec["automountServiceAccountToken"]
        writable = {mount["mountPath"] for mount in pod["volumeMounts"] if not mount.get("readOnly")}
        assert writable <= {"/tmp", "/collector/state"}  # noqa: S108 - the pod's
    account = [one for (kind, _), one in manifests.items() if kind == "ServiceAccount"]
    assert all(one["automountServiceAccountToken"] is False for one in account)


def test_a_drain_has_the_time_that_it_needs(values):
    """Kubernetes waits longer than a drain takes before it kills; less is refused."""
    assert all(one["terminationGracePeriodSeconds"] >= 60 for one in pods(rendered(values)).values())
    with pytest.raises(Exception, match="terminationGracePeriodSeconds"):
        rendered({**values, "terminationGracePeriodSeconds": 10})


def test_without_a_configuration_the_chart_says_so():
    """An empty installation is refused with what to set."""
    with pytest.raises(Exception, match=r"no configuration: configuration\.config: set it"):
        rendered({})


def test_a_changed_size_or_configuration_rolls_the_pods():
    """A pod that runs on with an old host file would wait for a process that is gone."""
    values = of("cluster")
    before = only(rendered(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    values["configuration"]["processesCount"] += 1
    after = only(rendered(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert before["checksum/hosts"] != after["checksum/hosts"]
    assert before["checksum/config"] == after["checksum/config"]


def test_replicas_read_queues_and_one_pod_reads_apis():
    """Queues: a Deployment that is replaced by surge, state on scratch; APIs: one pod, with the volume."""
    manifests = rendered(of("replicas"))
    deployment, stateful = only(manifests, "Deployment"), only(manifests, "StatefulSet")
    assert stateful["spec"]["replicas"] == 1
    assert stateful["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "recovery"
    assert "replicas" not in deployment["spec"]  # the autoscaler's
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    found = pods(manifests)
    assert found.keys() == {"queues", "apis"}
    assert {"name": "recovery", "emptyDir": {}} in found["queues"]["volumes"]
    assert not any(
        port["name"] == "process" for one in found.values() for port in one["containers"][0]["ports"]
    )
    spread = {one["topologyKey"] for one in found["queues"]["topologySpreadConstraints"]}
    assert spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_no_selector_takes_anothers_pods():
    """The StatefulSet, the Deployment and the budget each mean their own pods; service and policy all."""
    manifests = rendered({**of("replicas"), "podDisruptionBudget": {"enabled": True}})
    labels = {
        kind: only(manifests, kind)["spec"]["template"]["metadata"]["labels"].items()
        for kind in ("Deployment", "StatefulSet")
    }
    for kind, mine in labels.items():
        selector = only(manifests, kind)["spec"]["selector"]["matchLabels"].items()
        assert [other for other, theirs in labels.items() if selector <= theirs] == [kind]
        assert only(manifests, "Service")["spec"]["selector"].items() <= mine
        assert only(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= mine
    budget = only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items()
    assert budget <= labels["Deployment"]
    assert not budget <= labels["StatefulSet"]


def test_keda_scales_by_depth_and_age():
    """A trigger for the depth and one for the age of each queue, as KEDA defines them, all text."""
    manifests = rendered(of("replicas"))
    for kind, known in KEDA.items():
        spec = only(manifests, kind)["spec"]
        assert spec.keys() <= known.keys()
        for key, value in spec.items():
            for one in value if isinstance(value, list) else [value]:
                assert one.keys() <= known[key] if isinstance(one, dict) else isinstance(one, known[key])
    triggers = only(manifests, "ScaledObject")["spec"]["triggers"]
    assert [one["type"] for one in triggers] == ["aws-sqs-queue", "aws-cloudwatch"] * 2
    assert all(isinstance(value, str) for one in triggers for value in one["metadata"].values())
    assert triggers[3]["metadata"]["dimensionValue"] == "trail"
    assert triggers[0]["metadata"]["queueLength"] == "1000"


def test_a_clusters_processes_prove_a_secret():
    """With one nothing else is trusted; without, the network policy is what guards the port."""
    secret = pods(rendered(of("cluster")))[""]["containers"][0]["env"]
    assert {one["name"] for one in secret} >= {"COLLECTOR_CLUSTER_SECRET"}
    assert "COLLECTOR_CLUSTER_PORT" not in {one["name"] for one in secret}
    trusting = pods(rendered(of("single")))[""]["containers"][0]["env"]
    assert {"name": "COLLECTOR_CLUSTER_PORT", "value": "network-trusted"} in trusting


def test_cpu_scales_where_there_is_no_keda():
    """An HPA for the Deployment, and no pod for APIs that the configuration does not have."""
    manifests = rendered(of("queues-only"))
    assert only(manifests, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 6
    assert pods(manifests).keys() == {"queues"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"configuration": {"config": {"inputs": {}}}}, "quarantine would go with its pod"),
        (
            {"configuration": {"existingSecret": "a", "processesCount": 3}},
            "set queues.replicas, or mode: cluster",
        ),
        (
            {"configuration": {"existingSecret": "a"}, "queues": {"autoscaling": {"kind": "keda"}}},
            "list url and region",
        ),
        (
            {
                "configuration": {"existingSecret": "a"},
                "queues": {"enabled": False},
                "apis": {"enabled": False},
            },
            "nothing to run",
        ),
    ],
)
def test_what_would_lose_or_do_nothing_is_refused(change, told):
    """Each with the key and what to set."""
    with pytest.raises(Exception, match=told):
        rendered(change)


def test_prometheus_gets_the_alerts_that_are_tested():
    """The rule holds the file's own groups, for this release's job."""
    rule = only(rendered(of("replicas"), name="siem"), "PrometheusRule")
    written = (
        (ROOT / "deploy/prometheus/alerts.yml").read_text().replace('job="devo-aws-collector"', 'job="siem"')
    )
    assert rule["spec"] == yaml.safe_load(written)


def keys(values: Mapping[str, object], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all keys, also of those that are mappings."""
    found = [(*path, key) for key in values]
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in FREE:
            found += keys(value, (*path, key))
    return found


FREE = {"resources", "podSecurityContext", "securityContext"}
"""Values that are Kubernetes' own: its schemas judge them, in the rendered manifests."""

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("path", keys(DEFAULTS), ids=".".join)
def test_every_value_has_its_entry_in_the_schema(path):
    """Each key of values.yaml is described, and one beside it is an error."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for key in path:
        assert not schema["additionalProperties"]
        schema = schema["properties"][key]
    changed = copy.deepcopy(DEFAULTS) | {"configuration": {"existingSecret": "a"}}
    place = changed
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[f"{path[-1]}x"] = 1
    with pytest.raises(Exception, match=f"{path[-1]}x"):
        rendered(changed)
