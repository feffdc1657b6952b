"""Pages of the site that lie elsewhere in the repository, and the links between all (a hook of mkdocs)."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

BESIDE = {
    "README.md": "index.md",
    "deploy/README.md": "deploy.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "DECISIONS.md": "DECISIONS.md",
    "SECURITY.md": "SECURITY.md",
}
"""Place in the repository → page of the site."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<place>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for place, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / place).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to pages; what is no page (code, folders) stays as its name."""
    uri = page.file.src_uri
    here = next((place for place, one in BESIDE.items() if one == uri), f"docs/{uri}")

    def led(found: re.Match[str]) -> str:
        place, anchor = found["place"], found["anchor"] or ""
        if not place or "://" in place:
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), place))
        if target not in BESIDE and not target.startswith("docs/"):
            return found["text"] if "`" in found["text"] else f"`{found['text']}`"
        to = BESIDE.get(target) or target.removeprefix("docs/")
        return f"[{found['text']}]({posixpath.relpath(to, posixpath.dirname(uri) or '.')}{anchor})"

    return _LINK.sub(led, markdown)
