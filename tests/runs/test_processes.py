"""What a process that works no runs is spared."""

from __future__ import annotations

import subprocess
import sys


def test_the_journal_is_imported_only_where_runs_are_worked() -> None:
    """Serving, and all that is built for it, needs neither DBOS nor SQLAlchemy."""
    code = (
        "import sys, linkspan.process, linkspan.working, linkspan.cli.recipes, linkspan.cli.serve;"
        "print([name for name in ('dbos', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
