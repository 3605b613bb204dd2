"""A run's checkout in a sandbox of OpenAI's: sent as a file before Codex begins, what was changed taken back.

No credential of a forge goes there. The checkout is a file of the tenant's own OpenAI account that expires; a
script unpacks it into `/workspace` before Codex begins, and Codex runs the same script at its end, which
leaves what was changed below `/workspace/outputs`: OpenAI publishes that as an artifact of the turn. See
developers.openai.com/api/docs/guides/agents-api/environments/files and `…/openai-hosted`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

from linkspan.codex.engine import Event, Host, Task
from linkspan.codex.hosted import Hosted, Json
from linkspan.codex.parcel import MOST_BACK, pack, unpack_into
from linkspan.errors import LinkspanError, NotFound, UpstreamError

BETA: Final = "agents=v1"
_PLACE: Final = "/workspace"
_SCRIPT: Final = f"{_PLACE}/linkspan.py"
_CHANGE: Final = f"{_PLACE}/outputs/change.json.gz"
HAND_IN: Final = f"python3 {_SCRIPT} hand_in"
_EXPIRES: Final = 3_600
"""Seconds for which OpenAI keeps the file: the fewest that it takes. The sandbox has it by then."""
_LOOKS: Final = 3
"""How often an artifact is looked for that a turn has only just made."""
_REMOVALS: Final = 5
"""How often a session is asked to be removed: it refuses while it still ends something."""
Sleep = Callable[[float], Awaitable[object]]


class HostedCheckout:
    """Puts checkouts there and takes changes back."""

    def __init__(self, hosted: Hosted, *, sleep: Sleep) -> None:
        self._hosted = hosted
        self._sleep = sleep

    async def environment(self, task: Task) -> Json:
        """Answer the sandbox that a session is to have: with the checkout, or none without one.

        Raises `TooLarge`, and what OpenAI refuses the file with.
        """
        if task.workspace is None:
            return {"type": "none"}
        packed = await asyncio.to_thread(pack, task.workspace)
        file = await self._hosted.upload(task, "checkout.tar.gz", packed, seconds=_EXPIRES)
        network: Json = {"access": "disabled"}
        if task.network:
            network = {"access": "restricted", "allowed_domains": list(task.network)}
        return {
            "type": "openai_hosted",
            "network": network,
            "files": [
                {"type": "file_id", "file_id": file, "path": f"{_PLACE}/checkout.tar.gz"},
                {"type": "inline", "data": base64.b64encode(_script()).decode(), "path": _SCRIPT},
            ],
            "setup_commands": [{"command": f"python3 {_SCRIPT} take {task.base_commit}"}],
        }

    def instructions(self, task: Task) -> str | None:
        """Answer what Codex is to know of the place: ours, and nothing of it from a product."""
        if task.workspace is None:
            return None
        there = f"The repository is in {_PLACE}/checkout. Work there."
        if not task.hands_in:
            return f"{there} Nothing that you change is kept."
        return (
            f"{there} The last command that you run, before your last message, is `{HAND_IN}`: it hands in"
            " what you changed, and what it does not hand in is lost. Run it also when you changed nothing,"
            " and do as it says when it refuses."
        )

    async def look(self, task: Task, session: Json) -> None:
        """Raise `UpstreamError` when the sandbox of a session that has not begun will never be there."""
        environment = (session.get("environment") or {}).get("id")
        if environment is None:
            return
        there = await self._ask(task, "GET", f"/agents/environments/{quote(str(environment))}")
        if there.get("status") in ("failed", "expired"):
            raise UpstreamError(f"OpenAI could not prepare the sandbox: it is {there['status']}")

    async def take_back(
        self, task: Task, workspace: Path, host: Host, session: str, turns: list[str]
    ) -> bool:
        """Change the checkout as it was changed there; tells whether anything was handed in.

        Raises `TooLarge`, `Conflict` and `InvalidArgument` for what cannot be taken.
        """
        found = None
        for number in range(_LOOKS):
            if number:
                await self._sleep(2.0)
            found = await self._artifact(task, session, turns)
            if found is not None:
                break
        if found is None:
            return False
        path = f"/agents/sessions/{session}/artifacts/{quote(found)}/content"
        packed = await self._hosted.read(task, path, MOST_BACK, openai_beta=BETA)
        for sentence in await asyncio.to_thread(unpack_into, workspace, packed, str(task.base_commit)):
            await host.tell(Event("warning", {"message": sentence}))
        return True

    async def remove(self, task: Task, session: str) -> None:
        """Remove a session, and with it the sandbox, which would be paid for as long as it stands."""
        for number in range(_REMOVALS):
            if number:
                await self._sleep(2.0)
            try:
                await self._ask(task, "DELETE", f"/agents/sessions/{session}")
            except NotFound:
                return
            except LinkspanError:
                continue
            return

    async def _artifact(self, task: Task, session: str, turns: list[str]) -> str | None:
        """Answer the id of what the newest of these turns has handed in."""
        after = ""
        while True:
            query = f"order=desc&limit=100{after}"
            page = await self._ask(task, "GET", f"/agents/sessions/{session}/artifacts", query=query)
            for each in page.get("data") or ():
                if each.get("turn_id") in turns and each.get("path") == _CHANGE:
                    return str(each["id"])
                after = f"&after={quote(str(each['id']))}"
            if not page.get("has_more"):
                return None

    async def _ask(self, task: Task, method: str, path: str, *, query: str = "") -> Json:
        return await self._hosted.ask(task, method, path, openai_beta=BETA, query=query)


def _script() -> bytes:
    return resources.files("linkspan.codex").joinpath("parcel_there.py").read_bytes()
