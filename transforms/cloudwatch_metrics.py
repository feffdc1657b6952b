"""CloudWatch metrics: one metric in one period per JSON event, as the source wrote it."""

from transforms.tagged import NO_STAMP, Stamp, transform

TEMPLATE = "cloud.aws.cloudwatch.metrics"

__all__ = ["NO_STAMP", "TEMPLATE", "Stamp", "transform"]
