"""Running git: from nothing but what we say, with a credential that is on no disk and in no argument."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from linkspan.codex.places import GitAccess
from linkspan.errors import ConfigurationError, InvalidArgument, TooLarge, UpstreamTimeout
from linkspan.net.urls import origin_of

_FIXED: Final[Mapping[str, str]] = {
    # Nothing of a repository is run.
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "push.recurseSubmodules": "no",
    "diff.ignoreSubmodules": "all",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    # Names that other systems take for .git are no names.
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # Only where we send it, and only as whom we say.
    "protocol.allow": "never",
    "credential.helper": "",
    "http.sslVerify": "true",
    "http.followRedirects": "initial",
    "http.proxyAuthMethod": "basic",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "transfer.bundleURI": "false",
    "transfer.credentialsInUrl": "die",
    # Quiet, the same everywhere, and small.
    "core.quotePath": "false",
    "core.autocrlf": "false",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.bigFileThreshold": "8m",
    "advice.detachedHead": "false",
    "init.defaultBranch": "none",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "pack.windowMemory": "64m",
    "diff.renameLimit": "400",
    "safe.directory": "*",
}
LOCAL_SECONDS: Final = 300.0
_MOST_OUTPUT: Final = 64_000_000
_MOST_WORDS: Final = 16_384
_CONTROL: Final = "\r\n\0"


class GitFailed(Exception):
    """git said no. `words` is what it wrote, for `refusals` to read and for nobody to be shown as it is."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"git ended with {code}")
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class Remote:
    """How git reaches a forge: through the proxy that lets it go there, with what it shows there."""

    url: str
    access: GitAccess | None
    proxy: str = field(repr=False)
    """The egress proxy's URL, its credential included."""


@dataclass(frozen=True, slots=True)
class At:
    """Which repository a command is about; without a working tree no attribute of one counts."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None


@dataclass(frozen=True, slots=True)
class Git:
    """The git program. `ca_file` is a bundle of authorities to trust instead of the system's."""

    ca_file: Path | None = None
    seconds: float = 900.0
    """How long one exchange with a forge may take."""

    def tls(self) -> ssl.SSLContext:
        """Answer what we trust where git would: the same authorities."""
        return ssl.create_default_context(cafile=self.ca_file)

    async def run(
        self,
        *words: str,
        at: At,
        stdin: bytes = b"",
        remote: Remote | None = None,
        read_from: Path | None = None,
        also: Mapping[str, str] | None = None,
        most: int = _MOST_OUTPUT,
        cut: bool = False,
    ) -> bytes:
        """Run one command and answer what it printed.

        `remote` lets it reach one forge, `read_from` one directory; otherwise it reaches nothing. Beyond
        `most` bytes of output it is ended, and the output is cut, or `TooLarge`. Raises `GitFailed`,
        `UpstreamTimeout`, and `ConfigurationError` where there is no git.
        """
        config = dict(_FIXED)
        environment = {**_environment(at, remote, read_from), **(also or {})}
        pipe = None
        if remote is not None:
            if ca_file := _authorities(at, remote, self.ca_file):
                environment["GIT_SSL_CAINFO"] = str(ca_file)
            config["http.proxy"] = remote.proxy
            if remote.access is not None:
                pipe = _credential(remote.access)
                config[f"credential.{_origin(remote.access)}.helper"] = (
                    f'!f() {{ test "$1" = get && cat /dev/fd/{pipe}; }}; f'
                )
        environment["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (key, value) in enumerate(config.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        try:
            seconds = LOCAL_SECONDS if remote is None else self.seconds
            async with asyncio.timeout(seconds):
                code, out, told = await _run(
                    words, environment, at.work_tree or at.git_dir, stdin, pipe, most
                )
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"git {words[0]} did not come to its end within {seconds:g} seconds",
                hint="Try again in a minute.",
            ) from error
        finally:
            if pipe is not None:
                os.close(pipe)
        if len(out) > most:
            if cut:
                return out[:most]
            raise TooLarge(f"git {words[0]} told more than can be taken in")
        if code:
            raise GitFailed(code, told.decode(errors="replace"))
        return out


async def _run(
    words: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    stdin: bytes,
    pipe: int | None,
    most: int,
) -> tuple[int, bytes, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=directory,
            pass_fds=() if pipe is None else (pipe,),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            "git is not installed", hint="Runs that work on a repository need git 2.31 or later."
        ) from error
    assert process.stdin and process.stdout and process.stderr  # noqa: S101
    try:
        out, told, _ = await asyncio.gather(
            _read(process, process.stdout, most),
            _tail(process.stderr),
            _feed(process.stdin, stdin),
        )
        return await process.wait(), out, told
    finally:
        _kill(process)
        await process.wait()


def _environment(at: At, remote: Remote | None, read_from: Path | None) -> dict[str, str]:
    """Answer what git is told besides its configuration: nothing of our own environment but PATH."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(at.git_dir),
        "LANG": "C.UTF-8",
        "GIT_DIR": str(at.git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": "file" if read_from else remote.url.partition(":")[0] if remote else "",
    }
    if at.work_tree is not None:
        environment["GIT_WORK_TREE"] = str(at.work_tree)
    if at.index is not None:
        environment["GIT_INDEX_FILE"] = str(at.index)
    return environment


def _authorities(at: At, remote: Remote, usual: Path | None) -> Path | None:
    """Answer the file of who is trusted to vouch for the forge: the account's own authorities go before."""
    if remote.access is None or remote.access.authorities is None:
        return usual
    file = at.git_dir / "authorities.pem"
    file.write_text(remote.access.authorities)
    return file


def _origin(access: GitAccess) -> str:
    """Answer the one origin that the credential is for. Raises `InvalidArgument` for what is none."""
    try:
        return origin_of(access.origin)
    except ValueError as error:
        raise InvalidArgument("git's credential is for no origin") from error


def _credential(access: GitAccess) -> int:
    """Answer the reading end of a pipe that holds the credential as git reads it, once."""
    name, password = access.username, access.password.reveal()
    if any(mark in name + password for mark in _CONTROL):
        raise InvalidArgument("A line end cannot stand in git's credential")
    reading, writing = os.pipe()
    with open(writing, "wb") as end:  # noqa: PTH123 - a descriptor, not a path
        end.write(f"username={name}\npassword={password}\n".encode())
    return reading


async def _read(process: asyncio.subprocess.Process, stream: asyncio.StreamReader, most: int) -> bytes:
    """Read to the end; one that tells more than `most` is ended."""
    blocks, size = [], 0
    while block := await stream.read(65_536):
        blocks.append(block)
        size += len(block)
        if size > most:
            _kill(process)
            break
    return b"".join(blocks)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while block := await stream.read(65_536):
        kept = (kept + block)[-_MOST_WORDS:]
    return kept


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    # git may have ended without reading it: uvloop says so with RuntimeError, asyncio with OSError.
    with contextlib.suppress(OSError, RuntimeError):
        if data:
            stream.write(data)
            await stream.drain()
    stream.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
