"""`python examples/embed --linkspan http://127.0.0.1:8640`, with the tenant's token in LINKSPAN_TOKEN."""

import sys
from pathlib import Path

if not __package__:  # started by its path: the folder above holds the package, this one must not be searched
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != here)]

from embed.app import main

if __name__ == "__main__":
    sys.exit(main())
