"""`python examples/forge`: serve one repository by git over TLS, its pull requests, and the script."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from forge.cli import main

raise SystemExit(main())
