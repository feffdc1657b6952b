"""One fuzz target under atheris: `python -m tests.fuzz.engine TARGET [libFuzzer's options]`."""

import sys
from importlib import import_module

_MEASURED = ["transforms", "sources", "sinks", "flows", "yaml", "json", "http.client", "email"]


def main() -> None:
    """Instrument our packages and what they parse with, and run until libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - the extra `fuzz`; the suite does without

    with atheris.instrument_imports(include=_MEASURED):
        target = import_module("tests.fuzz.targets").TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
