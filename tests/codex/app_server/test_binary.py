"""Which Codex is driven, and what is said of one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan.codex.app_server.binary import find_binary, version_of
from linkspan.errors import ConfigurationError


@pytest.mark.parametrize("version", ["0.163.0", "0.169.2"])
def test_a_version_in_between_is_driven(version: str) -> None:
    """It stands after our own name in what Codex says of itself."""
    assert version_of(f"linkspan/{version} (Debian 12.0.0; x86_64) unknown (linkspan; 0.1)") == version


@pytest.mark.parametrize("version", ["0.162.9", "0.170.0", "1.0.0"])
def test_others_are_told_plainly(version: str) -> None:
    """With what is driven, and what to do."""
    with pytest.raises(ConfigurationError, match=rf"version {version}, and Linkspan drives 0\.163") as told:
        version_of(f"linkspan/{version} (Debian)")
    assert told.value.hint is not None
    assert "LINKSPAN_CODEX" in told.value.hint


def test_what_is_no_codex_is_told() -> None:
    """Whatever answers to a handshake."""
    with pytest.raises(ConfigurationError, match="no Codex"):
        version_of("sh")


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        find_binary(str(tmp_path / "nowhere"))


def test_the_script_of_npm_leads_to_the_program_beside_it(tmp_path: Path) -> None:
    """Node is not needed, and one process less is started."""
    script = tmp_path / "@openai" / "codex" / "bin" / "codex.js"
    program = tmp_path / "@openai" / "codex-linux-x64" / "vendor" / "musl" / "bin" / "codex"
    for file in (script, program):
        file.parent.mkdir(parents=True)
        file.touch(mode=0o755)
    (program.parents[1] / "codex-resources").mkdir()
    link = tmp_path / "codex"
    link.symlink_to(script)
    found = find_binary(str(link))
    assert found.command == (str(program),)
    assert found.folders == (program.parents[1],)
    program.unlink()
    with pytest.raises(ConfigurationError, match="no program of Codex"):
        find_binary(str(link))
