"""docs/errors.md, written from the catalogue of failures."""

from collections.abc import Iterator

from flows.commands.error_catalogue import ENTRIES, FAMILIES, REASONS, WARNINGS
from transforms.errors import CollectorError


def kinds(root: type[CollectorError] = CollectorError) -> Iterator[type[CollectorError]]:
    """Yield every kind of failure that has a meaning of its own."""
    for one in root.__subclasses__():
        if one.__name__ != "SettingsErrors":  # several SettingsError at once
            yield one
        yield from kinds(one)


def page() -> str:
    """Return the page of all failures, as Markdown."""
    lines = [
        "# When something is wrong",
        "",
        "Written by `python -m flows reference errors` from the errors themselves. Each failure is one line,",
        "`what: where: hint`; in the log it has a `code`, which is an anchor of this page.",
    ]
    for family, title in FAMILIES.items():
        lines += ["", f"## {title}"]
        for error, (by_itself, you) in ((one, told) for one, told in ENTRIES.items() if one.family == family):
            meaning = (error.__doc__ or "").strip().partition("\n")[0]
            lines += ["", f"### {error.code()}", "", meaning, ""]
            lines += [f"- **By itself**: {by_itself}", f"- **You**: {you}"]
    lines += ["", "## Warnings of what may be missing", "", "Nothing failed; the log names the place.", ""]
    lines += [
        "| event | what to do |",
        "| --- | --- |",
        *(f"| `{name}` | {do} |" for name, do in WARNINGS.items()),
    ]
    lines += ["", "## In quarantine", "", "Each folder of the quarantine is a reason.", ""]
    lines += [
        "| reason | why |",
        "| --- | --- |",
        *(f"| `{name}` | {why} |" for name, why in REASONS.items()),
    ]
    return "\n".join(lines) + "\n"
