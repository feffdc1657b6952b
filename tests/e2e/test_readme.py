"""What README.md and docs/try-it.md tell a newcomer to type does what it says."""

import os
import re
import subprocess
import sys

import yaml

from tests.fakes.collector import ROOT

README, TRY_IT = ((ROOT / name).read_text() for name in ("README.md", "docs/try-it.md"))


def block(text: str, language: str) -> str:
    """Return the first block of a document in a language, as it stands at the left margin."""
    found = re.search(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE)


def test_objects_of_ones_own_without_an_account(aws, tmp_path):
    """The queue, bucket and object that try-it.md makes are what README.md's configuration collects."""
    content = yaml.safe_load(block(README, "yaml"))
    del content["outputs"], content["inputs"]["production"]["credentials"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    keys = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **keys, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run("-c", block(TRY_IT, "python"))
    assert "0 fail" in run("-m", "flows", "check")
    shown = run("-m", "flows", "preview", "--service", "flowlogs")
    assert re.fullmatch(
        r"<14>Jan  1 00:00:00 \S+ cloud\.aws\.vpc\.flow: 2 000123456789 .* ACCEPT OK\n", shown
    )
