"""VPC flow logs and CloudFront logs from S3."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from flows.catalogue import build
from flows.catalogue.delays import AUTO
from flows.catalogue.filters import sifted
from flows.catalogue.service import OBJECTS, QUEUE, Service
from flows.catalogue.tagging import flow_logs, web_logs
from flows.config.base import TypedSettings
from flows.config.types import one_or_many
from transforms import cloudfront, vpcflow
from transforms.layout import Layout
from transforms.setting import setting


class NonCloudwatchLogsSettings(TypedSettings):
    """`non-cloudwatch-logs`: VPC flow logs and CloudFront logs from S3."""

    types: Annotated[
        tuple[Literal["flowlogs", "cloudfrontlogs"], ...], Field(min_length=1), BeforeValidator(one_or_many)
    ] = setting(example=["flowlogs"])
    """Which logs"""
    vpcflowlogs_sqs_queue_name: str | None = setting(
        None, example="flow-logs", min_length=1, queue_of="flowlogs"
    )
    """Name or URL of the queue, for flowlogs"""
    cloudfrontlogs_sqs_queue_name: str | None = setting(
        None, example="cloudfront", min_length=1, queue_of="cloudfrontlogs"
    )
    """Name or URL of the queue, for cloudfrontlogs"""
    auto_event_type: bool = setting(default=False, example=True, description=AUTO)
    format: Literal["raw", "json"] = setting("raw", example="json", ours=True)
    """raw: the line as it is; json: its fields by the header's names"""


def _is_text(options: NonCloudwatchLogsSettings) -> bool:
    return options.format == "raw"


FLOW_LOGS = Service(
    name="flowlogs",
    about="VPC flow logs in S3",
    service_key="non-cloudwatch-logs",
    settings=NonCloudwatchLogsSettings,
    source=build.objects,
    transform=sifted(flow_logs),
    is_text=_is_text,
    columns=vpcflow.COLUMNS,
    event_name=("action",),
    calls=(*QUEUE, *OBJECTS),
    layout=lambda _options: Layout(
        is_header=vpcflow.is_header, glued=True, other_headers=vpcflow.other_headers, column=vpcflow.column
    ),
    detect=vpcflow.detect,
    replayed={"auto_event_type": True},
)
CLOUDFRONT_LOGS = Service(
    name="cloudfrontlogs",
    about="CloudFront's logs in S3",
    service_key="non-cloudwatch-logs",
    settings=NonCloudwatchLogsSettings,
    source=build.objects,
    transform=sifted(web_logs),
    is_text=_is_text,
    columns=cloudfront.COLUMNS,
    event_name=("x-edge-result-type",),
    calls=(*QUEUE, *OBJECTS),
    layout=lambda _options: Layout(comment=b"#", separator=b"\t", column=cloudfront.column),
    detect=cloudfront.detect,
    replayed={"auto_event_type": True},
)
