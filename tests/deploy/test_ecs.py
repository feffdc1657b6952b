"""The collector on ECS: what the task runs is what the collector takes, in both forms of the stack."""

import re
import subprocess
import sys

import pytest
import yaml

from flows.cli import parser
from tests.deploy.test_stacks import TEMPLATES
from tests.deploy.test_terraform import source

FILES = {
    "CONFIG": "config/config.yaml",
    "CHAIN": "certs/chain.crt",
    "CERT": "certs/client.crt",
    "KEY": "certs/client.key",
}


class _Intrinsics(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what stands behind them."""


def _plain(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


_Intrinsics.add_multi_constructor("!", _plain)


@pytest.fixture(scope="module")
def task():
    """Return the template's containers by name."""
    read = yaml.load((TEMPLATES / "ecs.yaml").read_text(), _Intrinsics)  # noqa: S506 - a SafeLoader
    containers = read["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    return {one["Name"]: one for one in containers}


def script(form, task):
    """Return what writes the files, as the container runs it."""
    if form == "cloudformation":
        return task["files"]["Command"][0]
    (text,) = re.findall(r'write = "(.*)"', source("ecs"))
    quoted = ", ".join(f'"{name}": "{path}"' for name, path in FILES.items())
    return text.replace('\\"', '"').replace("${jsonencode(local.files)}", f"{{{quoted}}}")


@pytest.mark.parametrize("form", ["cloudformation", "terraform"])
def test_the_secret_becomes_files_that_only_the_collector_reads(form, task, tmp_path):
    """Each key of the secret is a file where the image looks for it, of mode 600."""
    for folder in ("config", "certs"):
        (tmp_path / folder).mkdir()
    told = script(form, task).replace("/collector/", f"{tmp_path}/")
    given = {name: f"of {name}\n" for name in FILES}
    subprocess.run([sys.executable, "-P", "-c", told], env=given, check=True)
    for name, path in FILES.items():
        assert (tmp_path / path).read_text() == given[name]
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o600


def test_terraform_writes_the_same_files():
    """The names of keys and files are those of the template."""
    assert dict(re.findall(r'(\w+) += "((?:config|certs)/[\w.]+)"', source("ecs"))) == FILES


@pytest.mark.parametrize("only", ["queues", "apis"])
def test_the_command_is_one_that_run_takes(task, only):
    """What stands behind the entry point is parsed as the image's entry point parses it."""
    command = [only if one == "Only" else one for one in task["collector"]["Command"]]
    found = parser().parse_args(["run", *command])
    assert (found.only, str(found.state)) == (only, "/collector/state")
    assert '["--only", var.only, "--state", "/collector/state"]' in source("ecs")


def test_a_drain_has_its_time_and_a_hang_is_found(task):
    """ECS kills after stopTimeout, and looks at no health check but the task's own."""
    collector = task["collector"]
    assert collector["StopTimeout"] > 60
    assert collector["HealthCheck"]["Command"][1:] == ["python", "-P", "-m", "flows.status.probe"]
    assert collector["ReadonlyRootFilesystem"]
    writable = {one["SourceVolume"] for one in collector["MountPoints"] if not one.get("ReadOnly")}
    assert writable == {"state", "tmp"}
