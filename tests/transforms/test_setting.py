"""A settings field's metadata: what the reference, the hints and the JSON Schema say beside its type."""

import subprocess
import sys

from transforms.setting import (
    SettingsModel,
    about,
    described,
    has_effect,
    ineffective,
    setting,
    without_effect,
)


class _Settings(SettingsModel):
    size: int = setting(1, unit="bytes", ours=True)
    """How much."""
    plain: str = setting("")
    """Anything
    at all."""
    idle: int | None = without_effect(5, "there is nothing to wait for")


FIELDS = _Settings.model_fields


def test_a_unit_stands_behind_the_description():
    """The unit is written once and read in hints and in the schema alike."""
    assert described(FIELDS["size"]) == "How much. Unit: bytes"
    assert described(FIELDS["plain"]) == "Anything at all"
    properties = _Settings.model_json_schema()["properties"]
    assert properties["size"]["description"] == "How much. Unit: bytes"
    assert properties["plain"]["description"] == "Anything at all."


def test_an_inherited_key_keeps_its_text():
    """A key that is declared anew says something else; the others say what they said."""

    class More(_Settings):
        plain: str = setting("")
        """Something else"""

    assert [described(More.model_fields[name]) for name in ("size", "plain")] == [
        "How much. Unit: bytes",
        "Something else",
    ]


def test_no_source_is_read_at_the_start():
    """Descriptions are for those who ask: parsing the source cost a fifth of the start."""
    script = "import ast; ast.parse = None; import flows.commands.run, flows.config.load"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_field_is_devos_unless_it_says_otherwise():
    """Only a field that is marked so is ours."""
    assert [about(field).ours for field in FIELDS.values()] == [True, False, False]


def test_what_changes_nothing_is_told_with_its_reason():
    """A key without effect is known by its metadata, whatever its description says."""
    assert has_effect(_Settings, "size")
    assert not has_effect(_Settings, "idle")
    assert ineffective(_Settings(size=2, idle=3)) == {"idle": "there is nothing to wait for"}
    assert ineffective(_Settings()) == {}
