"""`python -m flows`: the collector's commands."""

import sys

from flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
