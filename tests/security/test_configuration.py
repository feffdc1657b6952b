"""Hostile configurations end with one line each: no bomb, no code, no endless file."""

import pytest

from flows.config.load import SettingsError, load

_TEN = ", ".join
LAUGHS = "a: &a0 [x]\n" + "".join(f"b{n}: &a{n + 1} [{_TEN([f'*a{n}'] * 10)}]\n" for n in range(12))
MERGES = "a: &a0 {k: x}\n" + "".join(
    f"b{n}: &a{n + 1} {{<<: [{_TEN([f'*a{n}'] * 10)}]}}\n" for n in range(12)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS + "inputs: {}\n", "too large"),
        (f"inputs: {{one: {{id: 1, services: *a12}}}}\n{LAUGHS}", "undefined alias"),
        (LAUGHS + "inputs: {one: {id: 1, services: *a12}}\n", "too large"),
        (MERGES + "inputs: *a12\n", "no mapping"),
        ("inputs: &a\n  one: *a\n", "refers to itself"),
        ("inputs: " + "[" * 5000, "too deep|nested|recursion|no YAML"),
        ("inputs: " + "{a: " * 5000, "too deep|nested|recursion|no YAML"),
        ("inputs: !!python/object/apply:os.system [true]\n", "no YAML"),
        ("inputs: !!python/name:os.system\n", "no YAML"),
        ("inputs: 1" + "0" * 5000 + "\n", "cannot be understood"),
        ("inputs: {one: {id: 1, credentials: {access_key: {file: /dev/zero}}}}\n", "cannot be read"),
        ("\0" * 100, "no YAML|cannot be understood"),
        ("x" * (5 << 20), "too large"),
    ],
    ids=[
        "billion laughs", "alias before anchor", "laughs within", "merges of merges", "itself", "deep lists",
        "deep mappings", "code", "name of code", "long number", "endless secret", "NULs", "large",
    ],
)  # fmt: skip
def test_hostile_configurations_are_refused(text, told, tmp_path):
    """A configuration that asks for too much is an error of its own, soon and in little memory."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=told):
        load(path, {})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"inputs":1' + "0" * 5000 + "}"])
def test_hostile_json_is_refused(text, tmp_path):
    """JSON without bottom, or with a number of thousands of digits, is an error of its own too."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="cannot be understood"):
        load(path, {})
