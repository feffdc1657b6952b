"""What a configuration says about who the collector is in AWS, and which forms of it make sense."""

import re
from typing import Annotated, Any, Self

from msgspec import Struct
from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from sources.aws.partitions import names
from transforms.file_secret import FileSecret
from transforms.setting import SettingsModel, setting

_ROLE = re.compile(r"arn:(?P<partition>[\w-]+):iam::(?P<account>\d{12}):role/[\w+=,.@/-]+")


class Hop(Struct, frozen=True):
    """One role to assume. setting: the configuration's key, for messages. secret: the external id, if any."""

    setting: str
    role: str
    secret: SecretStr | None = None

    @property
    def external_id(self) -> str:
        """The external id as it is now, "" for none."""
        return self.secret.get_secret_value() if self.secret else ""

    @property
    def account(self) -> str:
        """The AWS account's number that the role belongs to."""
        return self.role.split(":")[4]

    @property
    def partition(self) -> str:
        """The part of AWS that the role is in, as its ARN names it."""
        return self.role.split(":")[1]


def _blank_is_none(value: Any) -> Any:
    """Read "" as absent: templates of configurations are full of empty values."""
    if isinstance(value, str):
        return value.strip() or None
    return value


def _role(value: Any) -> Any:
    value = _blank_is_none(value)
    found = _ROLE.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and not (found and found["partition"] in names()):
        raise ValueError("is no role's ARN, which looks like arn:aws:iam::123456789012:role/name")
    return value


def _secret(value: Any) -> Any:
    """Read a number as its digits: external ids are often written without quotes."""
    return str(value) if type(value) is int else _blank_is_none(value)


def _key(value: Any) -> Any:
    value = _secret(value)
    if isinstance(value, str) and not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("has a character that none has: a line break, a space, an accent")
    return value


_SCHEMA = WithJsonSchema({"type": ["string", "integer", "null"], "format": "password", "writeOnly": True})
_Secret = Annotated[SecretStr | None, BeforeValidator(_secret), _SCHEMA]
_Key = Annotated[SecretStr | None, BeforeValidator(_key), _SCHEMA]
_Role = Annotated[str | None, BeforeValidator(_role)]


_FAULTS: tuple[tuple[str, set[str], set[str], str], ...] = (
    ("access_key without access_secret", {"access_key"}, {"access_secret"}, "add access_secret"),
    ("access_secret without access_key", {"access_secret"}, {"access_key"}, "add access_key"),
    ("session_token without keys", {"session_token"}, {"access_key"}, "add access_key and access_secret"),
    (
        "assume_role_external_id without a role",
        {"assume_role_external_id"},
        {"base_assume_role", "target_assume_role"},
        "add target_assume_role, or remove it",
    ),
)
"""What makes no sense: (what, keys that are there, keys that are all missing, how to mend it)."""


class Credentials(SettingsModel):
    """Who the collector is in AWS. Leave all out to use boto3's default chain (the machine's own role)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    access_key: _Key = Field(
        None,
        examples=["${AWS_KEY}", {"file": "/run/secrets/aws-key"}],
        validation_alias=AliasChoices("access_key", "aws_access_key_id"),
    )
    """Access key of an IAM user. Needs access_secret."""
    access_secret: _Key = Field(
        None,
        examples=["${AWS_SECRET}", {"file": "/run/secrets/aws"}],
        validation_alias=AliasChoices("access_secret", "aws_secret_access_key"),
    )
    """Secret of the access key. What a file holds may be replaced there: it is read again."""
    session_token: _Key = setting(
        None,
        example="${AWS_SESSION_TOKEN}",
        ours=True,
        validation_alias=AliasChoices("session_token", "aws_session_token"),
    )
    """Token that belongs to temporary keys. They cannot be renewed: for trials only."""
    base_assume_role: _Role = setting(
        None,
        example="arn:aws:iam::123456789012:role/collector",
        validation_alias=AliasChoices("base_assume_role", "aws_base_account_role"),
    )
    """Role to assume from the keys or this machine's own identity: the role to work as, or the first of
    two hops."""
    target_assume_role: _Role = setting(
        None,
        example="arn:aws:iam::210987654321:role/devo-reads",
        validation_alias=AliasChoices("target_assume_role", "aws_cross_account_role"),
    )
    """Role in the account to be collected, assumed from base_assume_role; without it from the keys or this
    machine's own identity."""
    assume_role_external_id: _Secret = setting(
        None,
        example="${AWS_EXTERNAL_ID}",
        validation_alias=AliasChoices("assume_role_external_id", "aws_external_id"),
    )
    """External id that the trust policy of the last role asks for."""

    @model_validator(mode="after")
    def _is_a_known_form(self) -> Self:
        given = {name for name, value in self if value is not None}
        for wrong, has, lacks, mend in _FAULTS:
            if has <= given and not lacks & given:
                raise ValueError(f"{wrong}: {mend}")
        return self

    @property
    def replaceable(self) -> bool:
        """Tell whether the keys are in files, where they may be replaced."""
        return any(isinstance(one, FileSecret) for _, one in self)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The roles to assume, in this order."""
        base, target, external = self.base_assume_role, self.target_assume_role, self.assume_role_external_id
        if base and target:
            return Hop("base_assume_role", base), Hop("target_assume_role", target, external)
        if target:
            return (Hop("target_assume_role", target, external),)
        return (Hop("base_assume_role", base, external),) if base else ()
