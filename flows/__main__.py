"""`python -m flows`: the collector's commands.

`python -m` puts the working directory first on the path: a `bytewax.py` that lies there would run as bytewax.
So it is taken off before anything is imported, unless the collector itself lies there (`-P` does the
same earlier).
"""

import os
import sys

if __name__ == "__main__":
    here = os.getcwd()  # noqa: PTH109 - nothing is imported yet
    if not sys.flags.safe_path and sys.path[0] in {"", here} and not __file__.startswith(f"{here}/flows/"):
        del sys.path[0]
    from flows.cli import main

    sys.exit(main())
