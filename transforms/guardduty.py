"""GuardDuty findings: one version of a finding per event, under the service's own names."""

from transforms.tagged import NO_STAMP, Stamp, transform

TEMPLATE = "cloud.aws.guardduty.findings"

__all__ = ["NO_STAMP", "TEMPLATE", "Stamp", "transform"]
