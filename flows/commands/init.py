"""`python -m flows init`: a configuration, the policy that it needs and a stack of it, then `check`.

What no option says is asked for; where nobody can be asked, it is an error that names the option.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from msgspec import Struct
from rich.console import Console
from rich.prompt import Prompt

from flows.catalogue.service import Service
from flows.catalogue.services import every
from flows.check.run import check
from flows.commands.iam_policy import Known, grants
from flows.commands.iam_policy_formats import FORMATS, widened
from flows.commands.migrate import write_private
from flows.config.errors import SettingsError, SettingsErrors, nearest, raise_any
from flows.config.load import Settings, load
from transforms.setting import about

_CONSOLE, _NONE = "console", "none"
_GROUPS, _BUCKETS, _DIGITS = "log_group", "buckets", 12
_FILES = {"chain": "chain.crt", "cert": "my-domain.crt", "key": "my-domain.key"}


class InitRequest(Struct, frozen=True):
    """What was given as options, "" or () = ask. service: NAME, NAME=QUEUE, or NAME=GROUP of logs.

    account: twelve digits.
    """

    service: Sequence[str] = ()
    region: str = ""
    account: str = ""
    role: str = ""
    devo: str = ""
    bucket: Sequence[str] = ()
    offline: bool = False


def init(folder: Path, given: InitRequest) -> int:
    """Write config.yaml, policy.json and stack.yaml into a folder, and check; returns what check does."""
    config = folder / "config.yaml"
    if config.exists():
        raise SettingsError(
            "there is a configuration already", str(config), "name another folder: init FOLDER"
        )
    region = given.region or _ask("--region", "AWS region", "eu-west-1")
    chosen = given.service or _ask_services()
    buckets = given.bucket or _ask_buckets(chosen)
    services = _services(chosen, region, buckets)
    account = given.account or _ask("--account", "Number of the AWS account", "")
    role = given.role or _ask(
        "--role", "Role to read with, 'none' = this machine's own", _NONE, optional=True
    )
    devo = given.devo or _ask("--devo", "Devo's address, 'console' = print the events", _CONSOLE)
    if not (len(account) == _DIGITS and account.isdecimal()):
        raise SettingsError(f"{account} is no number of an account", "--account", "give its twelve digits")
    known = Known(account, tuple(buckets), ())
    with TemporaryDirectory() as aside:  # without an output: its certificates are not there yet
        write_private(tried := Path(aside) / "config.yaml", _text(services, role, _CONSOLE))
        found = grants(_given(tried), known)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(config, _text(services, role, devo))
    write_private(folder / "policy.json", FORMATS["json"](found))
    write_private(folder / "stack.yaml", FORMATS["cloudformation"](found))
    for line in widened(found, known):
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(
        f"{config}: what is collected\n{folder / 'policy.json'}: the least that IAM must allow for it\n"
        f"{folder / 'stack.yaml'}: the same as a CloudFormation stack\n\n"
    )
    code = check(
        config, offline=given.offline, as_json=False, interval=3.0, objects=(), probe=False, prove=False
    )
    start = f"python -m flows run --config {shlex.quote(str(config))}"
    then = f"Next: {start}; its page: http://{_STATUS}/status" if not code else _MEND.format(config=config)
    sys.stdout.write(f"\n{then}\n")
    return code


_STATUS = "127.0.0.1:3030"
_HEAD = "# Every key: docs/settings.md. The next step: python -m flows check, then python -m flows run.\n"
_MEND = "Next: mend what fails, then python -m flows check --config {config}"


def _given(tried: Path) -> Settings:
    """Load what was asked for; what is wrong with it was said by options or answers, not in a file."""
    try:
        return load(tried)
    except SettingsError as error:
        found = error.errors if isinstance(error, SettingsErrors) else (error,)
        where = (one.where.replace(str(tried), "what was given") for one in found)
        raise_any([SettingsError(one.what, place, one.hint) for one, place in zip(found, where, strict=True)])
        raise


def _text(services: Mapping[str, Any], role: str, devo: str) -> str:
    files = {"address": devo, "port": 443, **_FILES}
    output = {"type": _CONSOLE} if devo == _CONSOLE else {"type": "devo_platform", "config": files}
    identity = {} if role in {"", _NONE} else {"credentials": {"base_assume_role": role}}
    made = {
        "globals": {
            "name": "aws",
            "status": _STATUS,
            "persistence": {"type": "filesystem", "config": {"directory_name": "state"}},
        },
        "outputs": {"console" if devo == _CONSOLE else "devo": output},
        "inputs": {"production": {"id": "10001", **identity, "services": dict(services)}},
    }
    return _HEAD + yaml.safe_dump(made, sort_keys=False)


def _services(chosen: Sequence[str], region: str, buckets: Sequence[str]) -> dict[str, Any]:
    """Return the section `services`. chosen: as `InitRequest.service`; without a group, every group."""
    made: dict[str, Any] = {}
    for one in chosen:
        name, _, queue = one.partition("=")
        service = every().get(name)
        if service is None:
            raise SettingsError(f"unknown service {name}", "--service", nearest(name, every()))
        section = made.setdefault(service.service_key or name, {"regions": [region]})
        fields = service.settings.model_fields
        if service.service_key != name:
            section.setdefault("types", []).append(name)
        if any(action.startswith("sqs:") for action in service.actions):
            section[_queue_key(service)] = queue or _ask(f"--service {name}=QUEUE", f"Queue of {name}", "")
        if buckets and _BUCKETS in fields:
            section[_BUCKETS] = list(buckets)
        if _GROUPS in fields:
            section[_GROUPS] = queue or "/"
    return made


def _queue_key(service: Service[Any]) -> str:
    fields = service.settings.model_fields
    own = [key for key, field in fields.items() if about(field).queue_of == service.name]
    return own[0] if own else "sqs_queue_name"


def _ask_services() -> list[str]:
    for name, one in every().items() if sys.stdin.isatty() else ():
        sys.stdout.write(f"  {name:28} {one.about}\n")
    while True:
        chosen = _ask("--service", "Services, separated by blanks", "").split()
        unknown = [one for one in chosen if one.partition("=")[0] not in every()]
        if chosen and not unknown:
            return chosen
        hints = "; ".join(f"{one} is none: {nearest(one, every())}" for one in unknown)
        sys.stdout.write(f"{hints}\n")


def _ask_buckets(services: Sequence[str]) -> list[str]:
    """Return the buckets that objects come from; none where none are read, or nobody can be asked."""
    known = (every().get(one.partition("=")[0]) for one in services)
    if not any(one and _BUCKETS in one.settings.model_fields for one in known):
        return []
    question = "Buckets of the objects, separated by blanks, 'none' = as the queues' policies name them"
    return [one for one in _ask("--bucket", question, _NONE, optional=True).split() if one != _NONE]


def _ask(option: str, question: str, default: str, *, optional: bool = False) -> str:
    """Return an answer, or the default where nobody can be asked and it may be left out."""
    if not sys.stdin.isatty():
        if optional:
            return default
        raise SettingsError(f"{question[0].lower()}{question[1:]} is not given", option, "give this option")
    answer = Prompt.ask(question, console=Console(), default=default or None)
    return answer or _ask(option, question, default)
