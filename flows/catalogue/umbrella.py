"""Cisco Umbrella's logs from S3."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from flows.catalogue import build
from flows.catalogue.filters import sifted
from flows.catalogue.service import OBJECTS, QUEUE, Service
from flows.catalogue.tagging import umbrella_rows
from flows.config.base import OwnQueue, TypedSettings
from flows.config.types import one_or_many
from transforms import umbrella
from transforms.layout import Layout
from transforms.setting import About, without_effect


class CiscoUmbrellaSettings(TypedSettings):
    """`cisco-umbrella`: Cisco Umbrella's logs from S3."""

    types: Annotated[tuple[Literal["cisco-umbrella"], ...], BeforeValidator(one_or_many)] = Field(
        ("cisco-umbrella",), description="One type", examples=[["cisco-umbrella"]]
    )
    cisco_umbrella_sqs_queue_name: str | None = Field(
        None, min_length=1, description="Name or URL of the queue", examples=["umbrella"]
    )
    auto_event_type: bool | None = without_effect(example=True, why="the key's folder always tells the table")
    format: Literal["raw"] = Field(
        "raw",
        description="The line as it is; its columns grow with the schema",
        examples=["raw"],
        json_schema_extra=About(ours=True),
    )

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
