"""Settings of an input that reads a whole organization."""

from collections.abc import Sequence
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, SecretStr, Strict, model_validator

from flows.config.types import Model, OneOrMany, only_text, region
from sources.organization.accounts import AccountSelection
from sources.organization.directory import OrganizationScope
from transforms.setting import setting

ENABLED: Final = "enabled"
DEFAULT_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
)
"""Regions that each account has from the start (AWS Account Management, "Region availability"): for a plan
and a policy. What is collected from is asked of each account."""


def _where(value: str) -> str:
    return value if value == ENABLED else region(value)


_Where = Annotated[str, Strict(), AfterValidator(_where), only_text("aws-region")]


class OrganizationSettings(Model):
    """Every account of an organization, as AWS tells them while the collector runs."""

    model_config = ConfigDict(coerce_numbers_to_str=False)  # an account's number may begin with 0

    role_name: str = setting(
        "devo-aws-collector",
        example="devo-aws-collector",
        ours=True,
        max_length=512,
        pattern=r"^[A-Za-z0-9_+=,.@/-]+$",
    )
    """Name of the role (with its path, without arn:…) that credentials assume in each account"""
    external_id: SecretStr | None = setting(None, example="${AWS_EXTERNAL_ID}", ours=True)
    """External id that the trust policy of these roles asks for"""
    include: OneOrMany[str] = setting((), example=["ou-ab12-workload1"], ours=True)
    """Accounts, units (ou-…, with all below them) or roots (r-…); by default every account. Findings that
    a GuardDuty administrator has of other accounts of the organization are left out"""
    exclude: OneOrMany[str] = setting((), example=["123456789012"], ours=True)
    """Accounts, units or roots that are left out, their findings at a GuardDuty administrator too; wins
    over include"""
    regions: OneOrMany[_Where] = setting((ENABLED,), example=["eu-west-1", "us-east-1"], ours=True)
    """Of each account, all regions that it has enabled (`enabled`), or those of these"""
    refresh_seconds: float = setting(600, example=600, unit="seconds", ours=True, ge=1, le=3600)
    """From one listing of accounts, log groups and detectors to the next"""
    account_name: bool = setting(default=False, example=True, ours=True)
    """Put the account's name in the organization into JSON events as @devo_account_name"""

    account_name_as_tag: bool = setting(default=False, example=True, ours=True)
    """Put the account's name instead of its number where a tag has the account ({account}, tag_suffix): 64
    letters, digits, - and _ at most, others as _; the number while the name is not known"""

    @model_validator(mode="after")
    def _names_accounts(self) -> Self:
        if strange := self._selection.strange:
            what = f"names {strange[0]}, which is no account (12 digits), unit (ou-…) or root (r-…)"
            raise ValueError(f"{what}: write its id, which the Organizations console shows beside its name")
        return self

    @property
    def _selection(self) -> AccountSelection:
        return AccountSelection(self.include, self.exclude)

    @property
    def likely_regions(self) -> Sequence[str]:
        """The regions for what must be known before AWS is asked."""
        return DEFAULT_REGIONS if ENABLED in self.regions else self.regions

    @property
    def scope(self) -> OrganizationScope:
        """What is read."""
        regions = () if ENABLED in self.regions else self.regions
        return OrganizationScope(
            self.role_name.strip("/"), self.external_id, self._selection, regions, self.refresh_seconds
        )
