"""The ten forms in which a machine has an identity: how each is set up, lost, given back and rotated."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore import utils
from botocore.credentials import SSOProvider

from tests.fakes.credential_endpoints import ACCOUNT, ROLE, Endpoints, stamp

START_URL = "https://d-1234567890.awsapps.com/start"


@dataclass
class Machine:
    """A machine that has nothing but what a form sets up."""

    world: Endpoints
    folder: Path
    patch: pytest.MonkeyPatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def file(self, name: str, text: str) -> Path:
        """Write a file as Kubernetes and careful people do: whole or not at all."""
        path, new = self.folder / name, self.folder / f"{name}.new"
        new.write_text(text)
        new.replace(path)
        return path


@dataclass(frozen=True)
class Form:
    """set_up: environment and files. give: let it have what is good now. lose: let it have nothing."""

    set_up: Callable[[Machine], None]
    give: Callable[[Machine], None]
    lose: Callable[[Machine], None]


def _serve(machine: Machine) -> None:
    machine.world.serving = True


def _serve_not(machine: Machine) -> None:
    machine.world.serving = False


def _instance(kind: str) -> Callable[[Machine], None]:
    def set_up(machine: Machine) -> None:
        machine.world.metadata = kind
        machine.patch.delenv("AWS_EC2_METADATA_DISABLED")
        machine.set(AWS_EC2_METADATA_SERVICE_ENDPOINT=machine.world.url)

    return set_up


def _ecs(machine: Machine) -> None:
    machine.patch.setattr(utils.ContainerMetadataFetcher, "IP_ADDRESS", machine.world.host)
    machine.set(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/an-id")


def _pod(machine: Machine) -> None:
    machine.set(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{machine.world.url}/v1/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(machine.folder / "token"),
    )


def _irsa(machine: Machine) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    machine.set(AWS_WEB_IDENTITY_TOKEN_FILE=str(machine.folder / "token"), AWS_ROLE_ARN=role)


def _token(machine: Machine) -> None:
    """Project a new token, as the kubelet does; the one before is no longer taken."""
    machine.world.token = f"token-{machine.world.key}"
    machine.file("token", machine.world.token)
    machine.world.serving = True


def _no_token(machine: Machine) -> None:
    (machine.folder / "token").unlink(missing_ok=True)
    machine.world.token = "nobody's"


def _process(machine: Machine) -> None:
    machine.file("config", f"[default]\ncredential_process = cat {machine.folder}/process.json\n")


def _process_prints(machine: Machine) -> None:
    keys = machine.world.keys("AccessKeyId", "SecretAccessKey", "SessionToken")
    machine.file("process.json", json.dumps({"Version": 1, **keys}))


def _gone(name: str) -> Callable[[Machine], None]:
    return lambda machine: (machine.folder / name).unlink(missing_ok=True)


def _sso(machine: Machine) -> None:
    machine.patch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(machine.folder))
    machine.file(
        "config",
        f"[default]\nsso_start_url = {START_URL}\nsso_region = us-east-1\nsso_account_id = {ACCOUNT}\n"
        f"sso_role_name = {ROLE}\n",
    )


_CACHED = f"{hashlib.sha1(START_URL.encode(), usedforsecurity=False).hexdigest()}.json"


def _login(machine: Machine) -> None:
    """`aws sso login` writes a new token."""
    machine.world.sso_token = f"sso-{machine.world.key}"
    token = {"startUrl": START_URL, "region": "us-east-1", "accessToken": machine.world.sso_token}
    machine.file(_CACHED, json.dumps(token | {"expiresAt": stamp(hours=8)}))


def _keys_file(section: str) -> Callable[[Machine], None]:
    def give(machine: Machine) -> None:
        keys = machine.world.keys("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        del keys["Expiration"]
        lines = [f"{name} = {value}" for name, value in keys.items()]
        machine.file("credentials", "\n".join([f"[{section}]", *lines, ""]))
        machine.world.serving = True

    return give


def _profile(machine: Machine) -> None:
    machine.set(AWS_PROFILE="work")
    role = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    machine.file("config", f"[profile work]\nrole_arn = {role}\nsource_profile = base\n")


FORMS: dict[str, Form] = {
    "metadata, v1 off": Form(_instance("v2"), _serve, _serve_not),
    "metadata, v1": Form(_instance("v1"), _serve, _serve_not),
    "metadata, hop limit": Form(_instance("hop"), _serve, _serve_not),
    "ECS task": Form(_ecs, _serve, _serve_not),
    "EKS pod identity": Form(_pod, _token, _no_token),
    "web identity (IRSA)": Form(_irsa, _token, _no_token),
    "credential_process": Form(_process, _process_prints, _gone("process.json")),
    "SSO": Form(_sso, _login, _gone(_CACHED)),
    "shared file": Form(lambda _machine: None, _keys_file("default"), _gone("credentials")),
    "profile with a role": Form(_profile, _keys_file("base"), _gone("credentials")),
}


def bare(world: Endpoints, folder: Path, patch: pytest.MonkeyPatch) -> Machine:
    """Return a machine without any identity, whose AWS is the stub."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patch.delenv(name)
    machine = Machine(world, folder, patch)
    machine.set(
        AWS_ENDPOINT_URL=world.url,
        AWS_CONFIG_FILE=str(folder / "config"),
        AWS_SHARED_CREDENTIALS_FILE=str(folder / "credentials"),
        AWS_EC2_METADATA_DISABLED="true",
        AWS_METADATA_SERVICE_TIMEOUT="1",
        AWS_DEFAULT_REGION="us-east-1",
    )
    patch.setattr(utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return machine
