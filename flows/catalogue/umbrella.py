"""Cisco Umbrella's logs from S3."""

from collections.abc import Mapping
from typing import Literal

from flows.catalogue import build
from flows.catalogue.filters import sifted
from flows.catalogue.service import OBJECTS, QUEUE, Service
from flows.catalogue.tagging import umbrella_rows
from flows.config.base import OwnQueue, TypedSettings
from flows.config.types import OneOrMany
from transforms import umbrella
from transforms.layout import Layout
from transforms.setting import setting, without_effect


class CiscoUmbrellaSettings(TypedSettings):
    """`cisco-umbrella`: Cisco Umbrella's logs from S3."""

    types: OneOrMany[Literal["cisco-umbrella"]] = setting(("cisco-umbrella",), example=["cisco-umbrella"])
    """One type"""
    cisco_umbrella_sqs_queue_name: str | None = setting(None, example="umbrella", min_length=1)
    """Name or URL of the queue"""
    auto_event_type: bool | None = without_effect(example=True, why="the key's folder always tells the table")
    format: Literal["raw"] = setting("raw", example="raw", ours=True)
    """The line as it is; its columns grow with the schema"""

    @property
    def own_queues(self) -> Mapping[str, OwnQueue]:
        """Type → its own queue."""
        return {
            "cisco-umbrella": OwnQueue("cisco_umbrella_sqs_queue_name", self.cisco_umbrella_sqs_queue_name)
        }


UMBRELLA = Service(
    name="cisco-umbrella",
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
