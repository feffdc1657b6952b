"""`python -m flows reference`: pages written from the settings models and from the errors themselves.

docs/settings.md and docs/errors.md are what it prints; a test fails when they are stale.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.catalogue.object_types import CUSTOM, OBJECT_TYPES
from flows.catalogue.services import ANY_NAME, CATALOGUE, SETTINGS
from flows.commands import error_page
from flows.config.base import ObjectsSettings, QueuedSettings, ServiceSettings, TypedSettings
from flows.config.errors import SettingsError
from flows.config.file_formats import FileFormat, FormatConfig
from flows.config.filters import FieldOperation, FileRule, LineRule, MaskSettings, RecordMapping
from flows.config.model_tree import model_in
from flows.config.objects import SqsLogsSettings
from flows.config.organization import OrganizationSettings
from flows.config.polled import PolledSettings
from flows.config.settings import (
    CloudTrailTablesSettings,
    Globals,
    Input,
    JournalSettings,
    Persistence,
    PersistenceConfig,
)
from flows.config.types import BudgetSetting, ListingSetting, RequestLimit
from sinks.settings import ConsoleConfig, DevoConfig, DevoHttpConfig, FileConfig, SyslogConfig
from sources.aws.credentials import Credentials
from transforms.setting import about, described, description, spellings

_Section: TypeAlias = tuple[str, str, type[BaseModel], tuple[type[BaseModel], ...]]
"""Title, text, model, and the models whose keys have sections of their own."""

_COMMON = (ServiceSettings, PolledSettings, QueuedSettings, ObjectsSettings, TypedSettings)


def show(page: str) -> int:
    """Print a page."""
    pages = {"settings": settings_page, "errors": error_page.page}
    if page not in pages:
        raise SettingsError("no such page", page, f"one of {', '.join(pages)}")
    sys.stdout.write(pages[page]())
    return 0


def settings_page() -> str:
    """Return the reference of every key of the configuration, as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Written by `python -m flows reference settings` from the models that check a configuration;"
    yield "`python -m flows schema` prints the same for editors. *Devo's* keys mean here what they mean in"
    yield "Devo's collector; *ours* it does not have. Secrets may be `${NAME}` of the environment or"
    yield "`{file: PATH}`, where PATH may hold `${NAME}` too."
    sections: list[_Section] = [
        ("globals", "What concerns the whole collector; also written `global_overrides`.", Globals, ()),
        ("globals.persistence", "", Persistence, ()),
        ("globals.persistence.config", "", PersistenceConfig, ()),
        ("globals.journal", "", JournalSettings, ()),
        ("globals.tables.cloudtrail", "", CloudTrailTablesSettings, ()),
        ("inputs.<name>", "One account to collect from; there may be several.", Input, ()),
        ("inputs.<name>.credentials", "Without any: boto3's default chain.", Credentials, ()),
        ("inputs.<name>.organization", "", OrganizationSettings, ()),
        ("budget", "Of an input or of a service.", BudgetSetting, ()),
        ("services.<any>", "What every service has.", ServiceSettings, ()),
        ("services: those that ask an API", "", PolledSettings, (ServiceSettings,)),
        ("requests_limits[]", "", RequestLimit, ()),
        ("services: those fed by a queue", "", QueuedSettings, (ServiceSettings,)),
        ("services: those that read S3 objects", "", ObjectsSettings, (ServiceSettings, QueuedSettings)),
        ("s3_listing", "", ListingSetting, ()),
        (
            "services: those with types of objects",
            "",
            TypedSettings,
            (ServiceSettings, QueuedSettings, ObjectsSettings),
        ),
        *_services(),
        ("services.aws_sqs_…, services.<any> with file_format", _sqs(), SqsLogsSettings, _COMMON),
        ("file_format", "How a custom service's objects are cut.", FileFormat, ()),
        ("file_format.config", "", FormatConfig, ()),
        ("file_field_definitions.<name>[]", "", FieldOperation, ()),
        ("filename_filter_rules[][]", "", FileRule, ()),
        ("record_field_mapping.<name>", "", RecordMapping, ()),
        ("line_filter_rules[][]", "", LineRule, ()),
        ("mask", "", MaskSettings, ()),
        ("outputs.<name> of type devo_platform (relay)", "", DevoConfig, ()),
        ("outputs.<name> of type syslog (in_house_relay, sidecar)", "", SyslogConfig, ()),
        ("outputs.<name> of type devo_http", "", DevoHttpConfig, ()),
        ("outputs.<name> of type console (stdout)", "", ConsoleConfig, ()),
        ("outputs.<name> of type file", "", FileConfig, ()),
    ]
    for title, text, model, known in sections:
        yield from _section(title, text, model, known)


def _services() -> Iterator[_Section]:
    """Yield the sections of the services that have keys of their own, and of what stands in these."""
    for key in dict.fromkeys(one.service_key for one in CATALOGUE if one.service_key):
        yield f"services.{key}", "", SETTINGS[key], _COMMON
    for one in ANY_NAME:
        if one is not CUSTOM:
            yield f"services.<any> with types: [{one.name}]", f"{one.about}.", one.settings, _COMMON
            yield from ((f"{key}[]", "", model, ()) for key, model in _parts(one.settings))


def _parts(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield key and model of what stands in lists of a model, as far as it is the model's own."""
    inherited = {name for base in _COMMON for name in base.model_fields}
    for name, field in model.model_fields.items():
        if name not in inherited and (inner := model_in(field.annotation)):
            yield name, inner


def _sqs() -> str:
    types = sorted(OBJECT_TYPES, key=lambda one: one.name)
    names = "; ".join(f"`{one.name}`: {one.about}" for one in types)
    return f"The services of Devo's SQS collector, and custom ones. {names}."


def _section(
    title: str, text: str, model: type[BaseModel], known: tuple[type[BaseModel], ...]
) -> Iterator[str]:
    inherited: dict[str, FieldInfo] = {}
    for base in known:
        inherited |= base.model_fields if issubclass(model, base) else {}
    fields = {name: one for name, one in model.model_fields.items() if not _same(inherited.get(name), one)}
    yield ""
    yield f"## {title}"
    if text:
        yield ""
        yield text
    if not fields:
        yield ""
        yield "No keys of its own."
        return
    yield ""
    yield "| key | type | default | whose | meaning | example |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, one in fields.items():
        key, *others = spellings(name, one)
        cells = (
            f"`{key}`",
            _type(one.annotation),
            _default(one),
            "ours" if about(one).ours else "Devo's",
            _meaning(one, others),
            _example(one),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _meaning(field: FieldInfo, others: Sequence[str]) -> str:
    text = described(field)
    written = ", ".join(f"`{other}`" for other in others)
    return f"{text}. Also written {written}" if others else text


def _same(inherited: FieldInfo | None, own: FieldInfo) -> bool:
    return inherited is not None and (description(inherited), inherited.default) == (
        description(own),
        own.default,
    )


_WORDS: Mapping[object, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Any: "any",
}


def _type(annotation: object) -> str:
    """Return a type in a reader's words."""
    args = [one for one in get_args(annotation) if one is not type(None)]
    match getattr(get_origin(annotation), "__name__", ""):
        case "Literal":
            text = ", ".join(f"`{one}`" for one in args)
        case "tuple" | "list" | "frozenset" | "set":
            text = f"list of {_type(args[0]) if args else 'any'}"
        case "dict" | "Mapping":
            text = "mapping"
        case "Annotated":
            text = _type(args[0])
        case "":
            model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
            text = _WORDS.get(annotation, "mapping" if model else "text")
        case _:
            text = " or ".join(dict.fromkeys(_type(one) for one in args))
    return text


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined or value is None or value in ((), {}, ""):
        return ""
    return f"`{json.dumps(value, default=str)}`"


def _example(field: FieldInfo) -> str:
    shown = (json.dumps(one, ensure_ascii=False, default=str) for one in field.examples or ())
    return ", ".join(f"`{one}`" for one in shown)
