"""CloudWatch Logs: one log event per JSON event, as the source wrote it."""

from transforms.tagged import NO_STAMP, Stamp, transform

TEMPLATE = "cloud.aws.cloudwatch.logs"

__all__ = ["NO_STAMP", "TEMPLATE", "Stamp", "transform"]
