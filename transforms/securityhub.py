"""Security Hub findings: one per event, as `sources/queues/events.py` has taken it out of its envelope."""

from transforms.tagged import NO_STAMP, Stamp, transform

TEMPLATE = "cloud.aws.securityhub.findings"

__all__ = ["NO_STAMP", "TEMPLATE", "Stamp", "transform"]
