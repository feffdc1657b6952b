"""A configuration as YAML, with lines of comment put into its sections."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

Place: TypeAlias = tuple[str, ...]
"""The keys that lead to a section; () = the file."""

_WIDE = 1 << 16


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: no aliases, and nothing where there is nothing."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def commented(raw: Mapping[str, Any], comments: Mapping[Place, Sequence[str]]) -> str:
    """Return a mapping as YAML; each section begins with its comments."""
    text = yaml.dump(dict(raw), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE)
    lines, root = text.splitlines(), yaml.compose(text, yaml.SafeLoader)
    before: dict[int, list[str]] = {}
    for place, told in comments.items():
        line, column = _position(root, place)
        before.setdefault(line, []).extend(f"{' ' * column}# {one}" for one in told)
    made = [one for number, line in enumerate(lines) for one in (*before.get(number, ()), line)]
    return "\n".join([*made, *before.get(len(lines), ())]) + "\n"


def _position(root: Any, place: Place) -> tuple[int, int]:
    """Return the line before which a section's comments stand, and their column."""
    node, key = root, None
    for name in place:
        key, node = next((one, inner) for one, inner in node.value if one.value == name)
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return node.start_mark.line, node.start_mark.column
    return (key.start_mark.line + 1, key.start_mark.column + 2) if key else (0, 0)
