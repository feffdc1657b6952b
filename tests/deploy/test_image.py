"""The image, built from its Dockerfile and run as an on-premise user of Devo's collector would run it."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.image import ROOT, Image, instructions
from tests.fakes.collector import configuration, first_difference, output, services, verdict
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import wait_until

DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
_TIMEOUT = 60.0


def test_instructions_join_continued_lines_and_leave_comments_out():
    """A continued RUN is one instruction, whatever comments stand in it."""
    text = "# a\nFROM x AS y\nRUN one \\\n# not this\n && two\n\nUSER me\n"
    assert instructions(text) == [("FROM", "x AS y"), ("RUN", "one  && two"), ("USER", "me")]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Return the built image, its root file system read-only."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, overlayfs and setpriv")
    with Image(DOCKERFILE, tmp_path_factory.mktemp("image")) as built:
        built.freeze()
        yield built


@pytest.fixture
def layout(image, stage, tmp_path):
    """Return Devo's own folders on this machine, mounted where the image expects them."""
    folders = {name: tmp_path / name for name in ("config", "certs", "credentials", "state")}
    for name, folder in folders.items():
        folder.mkdir()
        image.bind(folder, name, writable=name == "state")
    certs = {"chain": stage.certs.ca, "cert": stage.certs.client_cert, "key": stage.certs.client_key}
    for name, file in certs.items():
        shutil.copy(file, folders["certs"] / f"{name}.pem")
    os.chown(folders["certs"] / "key.pem", image.user_id, image.user_id)
    os.chown(folders["state"], image.user_id, image.user_id)
    return folders


def ended(child):
    """Ask it to drain and return its exit code."""
    child.signal(signal.SIGTERM)
    return child.wait(_TIMEOUT)


def configure(layout, chosen, port, stage):
    """Write config/config.yaml with certificate names as Devo's users write them: relative to certs/."""
    made = configuration(chosen, output(port, stage.certs), Path())
    made["globals"]["persistence"]["config"]["directory_name"] = "state"
    made["outputs"]["devo"]["config"] |= {name: f"{name}.pem" for name in ("chain", "cert", "key")}
    (layout["config"] / "config.yaml").write_text(yaml.safe_dump(made))


@pytest.mark.slow
def test_h22_the_entry_point_delivers_and_drains_without_any_privilege(
    image, layout, stage, rsyslog, tmp_path
):
    """Read-only root, a user of its own, no capability, Devo's layout: all arrives, SIGTERM ends with 0."""
    site = stage.site()
    configure(layout, services([site], auto=True), rsyslog.port, stage)
    samples = corpus({kind: count // 20 for kind, count in FULL.items()}, seed=7)
    due = expected(samples, auto=True)
    given = {"CONFIG_FILE": "config.yaml", "AWS_ENDPOINT_URL": stage.aws.url}
    child = image.start(tmp_path / "log", env=given)
    try:
        site.put(samples)
        wait_until(lambda: rsyslog.size() >= due.total() or not child.alive, _TIMEOUT, "all events")
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert set(re.findall(r"^[UG]id:(.*)$", status, re.MULTILINE)) == {f"\t{image.user_id}" * 4}, (
            child.tail()
        )
        assert re.findall(r"^(?:CapEff|CapBnd):\s*(\w+)$", status, re.MULTILINE) == ["0" * 16] * 2
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
        assert ended(child) == 0, child.tail()
    finally:
        child.kill()
    arrived = rsyslog.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)
    assert site.waiting() == 0
    assert list(layout["state"].glob("part-*.sqlite3"))


@pytest.mark.slow
def test_a_state_folder_of_another_user_is_one_clear_line(image, layout, stage, tmp_path):
    """A forgotten chown says which folder, and exits with 2 as a configuration error does."""
    configure(layout, services([stage.site()], auto=True), 1, stage)
    os.chown(layout["state"], 0, 0)
    child = image.start(tmp_path / "log", env={"CONFIG_FILE": "config.yaml"})
    assert child.wait(_TIMEOUT) == 2
    lines = child.tail().strip().splitlines()
    assert re.match(r"recovery directory cannot be used .*state: make it writable", lines[-1]), lines
    assert "Traceback" not in child.tail()


@pytest.mark.slow
def test_the_image_holds_what_it_runs_and_no_more(image):
    """Neither the demo's parts nor the sources are in it, and nothing in it is the user's to change."""
    for module in ("moto", "ministack", "trustme", "pytest"):
        line = image.command(("python", "-c", f"import {module}"))
        assert subprocess.run(line, check=False, capture_output=True).returncode == 1, module
    assert not image.stage.path("/src").exists()
    owned = subprocess.run(
        ["find", str(image.stage.path("/opt/collector")), "-uid", str(image.user_id), "-o", "-perm", "-o+w"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert [path for path in owned.stdout.split() if not Path(path).is_symlink()] == []
