"""Security Hub findings: one finding per event, as `sources/events.py` has taken it out of its envelope."""

from transforms.tagged import NO_STAMP, Stamp, transform

TEMPLATE = "cloud.aws.securityhub.findings"

__all__ = ["NO_STAMP", "TEMPLATE", "Stamp", "transform"]
