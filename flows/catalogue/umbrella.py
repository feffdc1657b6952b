"""Cisco Umbrella's logs from S3."""

from typing import Literal

from flows.catalogue import build
from flows.catalogue.filters import sifted
from flows.catalogue.service import OBJECTS, QUEUE, Service
from flows.catalogue.tagging import umbrella_rows
from flows.config.base import TypedSettings
from flows.config.types import OneOrMany
from transforms import umbrella
from transforms.layout import Layout
from transforms.setting import setting, without_effect


class CiscoUmbrellaSettings(TypedSettings):
    """`cisco-umbrella`: Cisco Umbrella's logs from S3."""

    types: OneOrMany[Literal["cisco-umbrella"]] = setting(("cisco-umbrella",), example=["cisco-umbrella"])
    """One type"""
    cisco_umbrella_sqs_queue_name: str | None = setting(
        None, example="umbrella", min_length=1, queue_of="cisco-umbrella"
    )
    """Name or URL of the queue"""
    auto_event_type: bool | None = without_effect(example=True, why="the key's folder always tells the table")
    format: Literal["raw"] = setting("raw", example="raw", ours=True)
    """The line as it is; its columns grow with the schema"""


UMBRELLA = Service(
    name="cisco-umbrella",
    about="Cisco Umbrella's logs in S3",
    service_key="cisco-umbrella",
    settings=CiscoUmbrellaSettings,
    source=build.objects,
    transform=sifted(umbrella_rows),
    is_text=lambda _options: True,
    columns=umbrella.COLUMNS,
    calls=(*QUEUE, *OBJECTS),
    layout=lambda _options: Layout(is_header=umbrella.is_header, quoted=True),
    detect=umbrella.detect,
    placed=False,
)
