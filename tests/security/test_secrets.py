"""Secrets planted in every place of a configuration that may hold one are in nothing that comes out."""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from flows.config.errors import is_secret
from flows.config.load import SettingsError, load
from flows.config.paths import CERTIFICATES
from tests.fakes.certs import make_certs
from tests.fakes.http_devo import HttpDevo, answering
from tests.fakes.ministack import ACCOUNT, REGION, Ministack
from tests.fakes.planted import leaking_files, leaks, spellings
from tests.fakes.process import HOST, Child, free_port, wait_until

ROOT = Path(__file__).parents[2]
ROLE = f"arn:aws:iam::{ACCOUNT}:role"
SECRETS = {
    "access_secret": "Pl4ntAccess/Secr3t+Key==",
    "access_secret of a file": "Pl4ntFile/Secr3t+Key==",
    "session_token of the environment": "Pl4ntSession/T0ken+'quoted\"==",
    "external id": "Pl4ntExternal=Id,1@x",
    "token": "Pl4ntT0ken%of&Devo",
    "machine's secret": "Pl4ntMachine/Secr3t+Key==",
    "proxy's password": "Pl4nt:Pr0xy@pass/word",
}
ENVIRONMENT = {
    "PLANTED_SESSION": SECRETS["session_token of the environment"],
    "PLANTED_TOKEN": SECRETS["token"],
    "AWS_ACCESS_KEY_ID": "AKIAMACHINE",
    "AWS_SECRET_ACCESS_KEY": SECRETS["machine's secret"],
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_REGION": REGION,
}
_TIMEOUT = 90.0


@pytest.mark.parametrize("secret", SECRETS.values())
def test_the_look_finds_what_is_there(secret):
    """Each spelling is found within a text: a test that cannot fail is no test."""
    for spelt in spellings(secret):
        assert leaks(b"before " + spelt + b" after", {"it": secret}) == ["it"]
    assert leaks(b"nothing", {"it": secret}) == []


def queue(name: str = "q", **more: object) -> dict:
    return {"service-events-all": {"regions": [REGION], "cloudwatch_sqs_queue_name": name, **more}}


def configuration(folder: Path, http: str = "https://127.0.0.1:1", tls: int = 1) -> dict:
    """Return a configuration with all secrets; the certificates lie in `folder`."""
    patience = {"outage_limit_seconds": 6, "drain_grace_seconds": 1, "connect_timeout_seconds": 2}
    key = {
        "chain": str(folder / "ca.pem"),
        "cert": str(folder / "client.pem"),
        "key": str(folder / "client.key"),
    }
    return {
        "globals": {
            "name": "planted",
            "persistence": {"type": "filesystem", "config": {"directory_name": str(folder / "state")}},
            "quarantine": str(folder / "quarantine"),
        },
        "outputs": {
            "http": {
                "type": "devo_http",
                "config": {"endpoint": http, "domain": "acme", "token": "${PLANTED_TOKEN}", **patience},
            },
            "tls": {"type": "devo_platform", "config": {"address": HOST, "port": tls, **key, **patience}},
        },
        "inputs": {
            "file": {
                "id": "1",
                "credentials": {
                    "access_key": "AKIAFILE",
                    "access_secret": {"file": "secret"},
                    "session_token": "${PLANTED_SESSION}",
                },
                "services": queue(),
            },
            "literal": {
                "id": "2",
                "credentials": {"access_key": "AKIALITERAL", "access_secret": SECRETS["access_secret"]},
                "services": {"audit-events-all": {"types": ["audits_api"], "regions": [REGION]}},
            },
            "roles": {
                "id": "3",
                "credentials": {
                    "base_assume_role": f"{ROLE}/base",
                    "target_assume_role": f"{ROLE}/target",
                    "assume_role_external_id": SECRETS["external id"],
                },
                "services": {"aws-guardduty": {"regions": [REGION]}},
            },
        },
    }


@dataclass
class Planted:
    """A folder with a configuration, and all secrets, those of the key's file included."""

    folder: Path
    secrets: dict[str, str]

    def write(self, content: object) -> Path:
        path = self.folder / "config.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    @property
    def holders(self) -> list[Path]:
        """The files that hold secrets by design."""
        return [self.folder / name for name in ("config.yaml", "secret", "client.key", "server.key")]


@pytest.fixture
def planted(tmp_path) -> Planted:
    certs = make_certs(tmp_path)
    (tmp_path / "secret").write_text(SECRETS["access_secret of a file"] + "\n")
    lines = certs.client_key.read_text().splitlines()[1:-1]
    return Planted(
        tmp_path,
        SECRETS | {f"line {number} of the key": line for number, line in enumerate(lines) if len(line) > 30},
    )


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value of a configuration."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(content: dict, path: tuple, value: object) -> dict:
    """Return a configuration with another value at a path."""
    made = json.loads(json.dumps(content))
    *parents, last = path
    inner = made
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return made


BAD_VALUES = (
    None, 7, True, [], {"a": 1}, {"file": "missing"},
    ["${PLANTED_TOKEN}"], {"x": "${PLANTED_TOKEN}"}, "${PLANTED_TOKEN}", "a ${PLANTED_SESSION} b",
    {"file": "secret"}, SECRETS["access_secret"],
)  # fmt: skip


def test_errors_of_a_configuration_hold_no_secret(planted, monkeypatch):
    """Whatever stands in whatever place, neither the error nor its traceback shows a secret.

    What stands under a key that is no secret's is taken for none, if it is written there itself, and names
    of files are shown wherever they come from: who reads the error looks for the file.
    """
    monkeypatch.chdir(planted.folder)
    content = configuration(planted.folder)
    wrong = 0
    for path in places(content):
        for value in BAD_VALUES:
            hidden = is_secret(str(path[-1])) and path[-1] != "access_key"  # that is a name
            if (value == SECRETS["access_secret"] and not hidden) or path[-1] in CERTIFICATES:
                continue
            try:
                shown = repr(load(planted.write(changed(content, path, value)), ENVIRONMENT))
            except SettingsError as error:
                wrong += 1
                shown = f"{error}{error!r}" + "".join(traceback.format_exception(error))
                hidden = True
            assert not (hidden and leaks(shown.encode(), planted.secrets)), (path, value)
    assert wrong > 100


@pytest.mark.parametrize(
    "damage",
    ["\n  - x", ": : :", "\n\tx: 1", "\n}", "\n    access_secret: again", '\n  "x', "\n      &a *b"],
)
def test_errors_of_yaml_hold_no_secret(planted, damage):
    """A file that is no YAML right behind a literal secret is told by line and column, not by its text."""
    whole = yaml.safe_dump(configuration(planted.folder), sort_keys=False)
    secret = SECRETS["access_secret"]
    path = planted.write(whole.replace(secret, secret + damage, 1))
    with pytest.raises(SettingsError) as caught:
        load(path, ENVIRONMENT)
    shown = str(caught.value) + "".join(traceback.format_exception(caught.value))
    assert not leaks(shown.encode(), planted.secrets)


def test_a_url_with_a_token_is_not_repeated(planted):
    """Who pastes a whole URL of Devo's as endpoint does not read the token in the error."""
    content = configuration(
        planted.folder, http=f"https://http-us.devo.io/stream/acme/token!{SECRETS['token']}"
    )
    with pytest.raises(SettingsError) as caught:
        load(planted.write(content), ENVIRONMENT)
    assert not leaks("".join(traceback.format_exception(caught.value)).encode(), planted.secrets)


PREVIEW = "preview --service service-events-all"
COMMANDS = (
    "check", "check --offline --json", "policy", "policy --format terraform", "plan", PREVIEW,
    "backfill --service flowlogs --location s3://b/p/ --from 2026-01-01 --to 2026-01-02 --dry-run",
    "replay capture.log --service flowlogs --output devo", "run --processes x",
)  # fmt: skip


def command(planted: Planted, line: str, **environment: str) -> bytes:
    """Run a command with --debug and return all that it wrote."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COLLECTOR_"))}
    done = subprocess.run(
        [sys.executable, "-m", "flows", *line.split(), "--debug", "--config", "config.yaml"],
        cwd=planted.folder,
        env={**kept, "PYTHONPATH": str(ROOT), **ENVIRONMENT, **environment},
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def strict() -> Iterator[Ministack]:
    """Return an embedded AWS that refuses all our keys."""
    with Ministack(auth=True) as started:
        yield started


def test_commands_show_no_secret(planted, strict):
    """Every command, in debug mode, before an AWS and a Devo that refuse, and behind a dead proxy."""
    (planted.folder / "capture.log").write_bytes(
        b"2 123456789012 eni-0 10.0.0.1 10.0.0.2 1 2 6 1 1 1 1 ACCEPT OK\n"
    )
    with HttpDevo(behaves=answering(401)) as devo:
        planted.write(configuration(planted.folder, http=devo.url, tls=free_port()))
        password = SECRETS["proxy's password"]
        proxy = f"http://user:{quote(password, safe='')}@{HOST}:{free_port()}"
        runs = [(line, {"AWS_ENDPOINT_URL": strict.url}) for line in COMMANDS]
        runs += [(line, {"HTTPS_PROXY": proxy, "https_proxy": proxy}) for line in ("check", PREVIEW)]
        with ThreadPoolExecutor(3) as pool:
            shown = list(pool.map(lambda run: command(planted, run[0], **run[1]), runs))
    for (line, _), text in zip(runs, shown, strict=True):
        assert text, line
        assert not leaks(text, planted.secrets), line
    assert b"fail" in shown[0]
    assert not leaking_files(planted.folder, planted.secrets, planted.holders)


def family(pid: int) -> list[int]:
    """Return the processes of a session that a process leads."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(ValueError, OSError):
            if os.getsid(int(folder.name)) == pid:
                found.append(int(folder.name))
    return found


def proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def page(port: int, path: str) -> bytes:
    with suppress(OSError), urlopen(f"http://{HOST}:{port}{path}", timeout=5) as reply:
        return reply.read()
    return b""


@pytest.mark.parametrize(
    ("form", "output", "told"), [("text", "tls", b"certificate"), ("json", "http", b"401")]
)
def test_a_running_collector_shows_no_secret(planted, strict, unique, form, output, told):
    """Refused roles and tokens, failed TLS, poison, a crash with its traceback: no secret is left behind."""
    name = unique("planted")
    user = refusing_all_but(strict, name)
    strict.send(strict.queue(name), "poison")
    secrets = {**planted.secrets, "secret of a user": user["access_secret"]}
    with HttpDevo(behaves=answering(401)) as devo, HttpDevo(make_certs(planted.folder / "other")) as stranger:
        content = configuration(planted.folder, http=devo.url, tls=stranger.port)
        content["outputs"] = {output: content["outputs"][output]}
        content["inputs"]["works"] = {"id": "4", "credentials": user, "services": queue(name)}
        planted.write(content)
        port = free_port()
        child = start(planted, strict, port, form)
        try:
            wait_until(lambda: in_quarantine(planted.folder), _TIMEOUT, "poison in quarantine")
            strict.send(
                strict.queue(name), json.dumps({"source": "aws.ec2", "detail-type": "x", "detail": {}})
            )
            wait_until(lambda: told in log(child), _TIMEOUT, "a delivery that is refused")
            looked_at(child, secrets)
            pages = [
                page(port, path) for path in ("/status", "/status.json", "/metrics", "/healthz", "/readyz")
            ]
            wait_until(lambda: b"Traceback" in log(child), _TIMEOUT, "a crash, told with its traceback")
        finally:
            child.kill()
    assert not leaks(b"".join(pages), secrets)
    assert b"AssumeRole" in log(child)
    others = [*planted.holders, planted.folder / "other/server.key", planted.folder / "other/client.key"]
    assert list((planted.folder / "state").rglob("*"))
    assert not leaking_files(planted.folder, secrets, others)


def refusing_all_but(aws: Ministack, name: str) -> dict[str, str]:
    """Make the one user whom an AWS lets in; return the keys."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(allowed))
    return {"access_key": made["AccessKeyId"], "access_secret": made["SecretAccessKey"]}


def in_quarantine(folder: Path) -> bool:
    return any(path.is_file() for path in (folder / "quarantine").rglob("*"))


def looked_at(child: Child, secrets: dict[str, str]) -> None:
    """Look at the command lines and environments of a collector's processes.

    What the environment held from the start is in that of the children, too.
    """
    alive = family(child.pid)
    assert len(alive) >= 2
    given = {key: one for key, one in secrets.items() if one not in ENVIRONMENT.values()}
    for pid in alive:
        assert not leaks(proc(pid, "cmdline"), secrets)
        assert not leaks(proc(pid, "environ"), given)


def log(child: Child) -> bytes:
    return child.log.read_bytes()


def start(planted: Planted, aws: Ministack, port: int, form: str) -> Child:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COLLECTOR_"))}
    environment = {
        **kept,
        **ENVIRONMENT,
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": aws.url,
        "COLLECTOR_STATUS": f"{HOST}:{port}",
        "COLLECTOR_LOG": form,
        "TMPDIR": str(planted.folder / "tmp"),
    }
    (planted.folder / "tmp").mkdir()
    line = ["run", "--cluster", "2", "--interval", "1", "--debug", "--config", "config.yaml"]
    return Child([sys.executable, "-m", "flows", *line], planted.folder / "log", environment, planted.folder)
