"""A settings field's metadata: what the reference, the hints and the JSON Schema say beside its type."""

from pydantic import BaseModel, Field

from transforms.setting import About, about, described, has_effect, ineffective, without_effect


class _Settings(BaseModel):
    size: int = Field(1, description="How much.", json_schema_extra=About(unit="bytes", ours=True))
    plain: str = Field("", description="Anything.")
    idle: int | None = without_effect(5, "there is nothing to wait for")


FIELDS = _Settings.model_fields


def test_a_unit_stands_behind_the_description():
    """The unit is written once and read in hints and in the schema alike."""
    assert described(FIELDS["size"]) == "How much. Unit: bytes"
    assert described(FIELDS["plain"]) == "Anything"
    properties = _Settings.model_json_schema()["properties"]
    assert properties["size"]["description"] == "How much. Unit: bytes"
    assert properties["plain"]["description"] == "Anything."


def test_a_field_is_devos_unless_it_says_otherwise():
    """Only a field that is marked so is ours."""
    assert [about(field).ours for field in FIELDS.values()] == [True, False, False]


def test_what_changes_nothing_is_told_with_its_reason():
    """A key without effect is known by its metadata, whatever its description says."""
    assert has_effect(_Settings, "size")
    assert not has_effect(_Settings, "idle")
    assert ineffective(_Settings(size=2, idle=3)) == {"idle": "there is nothing to wait for"}
    assert ineffective(_Settings()) == {}
