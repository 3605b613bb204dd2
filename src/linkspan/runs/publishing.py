"""Publishing through the gateway: the repository that a run works on, its one pull request, its one review.

A forge is a connector with `git` and the entities `repository` and `pull_request`. Whatever is made there is
looked for first and told apart by what it is of: a pull request by the run's branch, a review by the run's id
in its last line. So each may be asked for again after a crash, and after an answer that was lost.
What a model wrote goes through the one filter here, whoever filtered it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Principal, Tenant
from linkspan.codex.places import Checkout, GitAccess, Repository, branch_of
from linkspan.errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    LinkspanError,
    NeedsReauth,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item, Page
from linkspan.net.urls import is_below, origin_of
from linkspan.runs.ports import Publication
from linkspan.runs.reviewing import Review, read_review
from linkspan.runs.shown import run_url
from linkspan.spec.catalog import Connector, Scope
from linkspan.text.outgoing import Outgoing
from linkspan.vault.credential import Credential

Json = dict[str, Any]
Found = TypeVar("Found")
SCOPES: Final = ("repository.get", "pull_request.*")
"""What publishing may do at a forge. Codex itself is never given this."""
WAITS: Final = (1.0, 5.0, 20.0)
"""Seconds between attempts at a forge that does not answer now."""
_LONGEST_WAIT: Final = 120.0
_LONGEST_BODY: Final = 60_000
"""Characters; GitHub takes 65,536."""
_MOST_PAGES: Final = 20
_PASSING: Final = (UpstreamError, UpstreamTimeout, RateLimited)
_OWN: Final = "own pull request"
_NO_DRAFTS: Final = "draft pull requests are not supported"


class GatewayForge:
    """The forge that a tenant linked."""

    def __init__(
        self,
        gateway: Gateway,
        accounts: Accounts,
        *,
        base: str,
        mask: Callable[[str], str],
        random: Callable[[int], bytes],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`base` is the URL that people know us by; `mask` takes out what is known to be a secret."""
        self._gateway = gateway
        self._accounts = accounts
        self._base = base.rstrip("/")
        self._mask = mask
        self._random = random
        self._sleep = sleep

    async def locate(
        self, tenant: Tenant, repository: str, *, run: str, person: str | None
    ) -> tuple[Repository, GitAccess | None]:
        """Answer where a repository is, and what opens it for git.

        Only the forge says where it is cloned from, and only an address below the connector's `git` counts.
        """
        principal = _principal(tenant, run, person)
        found = await self._call(principal, "repository.get", {"id": repository})
        credential, connector = await self._credential(principal, found.account)
        base = _git_base(connector, credential)
        known: Json = found.result
        clone_url = _without_name(str(known.get("clone_url") or ""))
        if not is_below(clone_url, base):
            raise Forbidden(
                f"{connector.title} says that {repository} is cloned from somewhere else than {base}",
                hint=f"Look at `git` of the connector {connector.name} in tools.yaml.",
            )
        if known.get("archived"):
            raise Forbidden(
                f"The repository {repository} is archived: it can only be read",
                hint="Unarchive it at the forge, or choose another one in the recipe's settings.",
            )
        branch = str(known.get("default_branch") or "main")
        return Repository(str(known["id"]), clone_url, branch), _access(connector, credential, base)

    async def open_pull_request(self, publication: Publication) -> Mapping[str, Any]:
        """Answer the one pull request of the run's branch, which was pushed."""
        principal, repository = _principal_of(publication), publication.checkout.repository
        branch = publication.branch or branch_of(publication.run)
        filter_ = self._filter(repository)
        known = await self._known(principal, "pull_request.create")
        title = filter_.line(publication.title, 200) or f"Changes of Codex run {publication.run}"
        if publication.draft and "draft" not in known:
            title = f"Draft: {title}"  # so GitLab marks one, and people read it anywhere
        offered: Json = {
            **parts_of(repository.id),
            "title": title,
            "description": self._body(publication, filter_),
            "head": branch,
            "base": publication.checkout.base_branch,
            "draft": publication.draft,
        }
        arguments = {name: value for name, value in offered.items() if name in known}

        async def make() -> Json:
            try:
                made = await self._call(principal, "pull_request.create", arguments)
            except InvalidArgument as error:
                if not publication.draft or _NO_DRAFTS not in error.message.lower():
                    raise
                made = await self._call(principal, "pull_request.create", {**arguments, "draft": False})
            return _shown(made.result)

        async def find() -> Json | None:
            there = await self._pull_requests(principal, repository, branch, which="all")
            return _shown(there[0]) if there else None

        return await self._once(
            find, make, f"The branch {branch} was pushed, but the pull request could not be opened"
        )

    async def review(self, publication: Publication, output: Any) -> Mapping[str, Any]:
        """Answer the one review that the run wrote: of its thing, or of the pull request of its branch.

        It comments or asks for changes; approving is for people, unless the recipe says otherwise. Empty when
        the pull request was reviewed before and nothing new is to be said.
        """
        principal, checkout = _principal_of(publication), publication.checkout
        subject = publication.subject
        pull_request = subject.id if subject else await self._reviewed(principal, checkout)
        review = read_review(
            output,
            self._filter(checkout.repository),
            self._ending(publication),
            subject,
            may_approve=publication.may_approve,
        )
        if review is None:
            return {}
        arguments = {"id": pull_request, "commit_sha": checkout.base_commit}

        async def make() -> Json:
            given = review
            while True:
                try:
                    return await self._review(principal, arguments, given)
                except InvalidArgument as error:
                    # A judgement of one's own change is refused, and so is all of a review with a comment at
                    # a line that is not in the change: say it without, in one text.
                    if given.event != "comment" and _OWN in error.message.lower():
                        given = given.as_comment()
                    elif given.comments:
                        given = given.without_lines()
                    else:
                        raise

        async def find() -> Json | None:
            reviews = await self._every(principal, "pull_request.reviews", {"id": pull_request})
            ours = (each for each in reviews if publication.run in str(each.get("body") or ""))
            return next(({"id": each["id"], "url": each.get("url")} for each in ours), None)

        return await self._once(find, make, f"The review of {pull_request} could not be given")

    async def _reviewed(self, principal: Principal, checkout: Checkout) -> str:
        """Answer the one open pull request of the branch that was worked on."""
        there = await self._pull_requests(principal, checkout.repository, checkout.base_branch, which="open")
        if len(there) != 1:
            raise NotFound(
                f"{checkout.repository.id} has {len(there) or 'no'} open pull requests of the branch"
                f" {checkout.base_branch}, so there is none to review",
                hint="The recipe's base branch must be the branch of an open pull request.",
            )
        return str(there[0]["id"])

    async def _review(self, principal: Principal, arguments: Json, review: Review) -> Json:
        said = {"event": review.event, "body": review.body, "comments": review.comments or None}
        made = await self._call(principal, "pull_request.review", {**arguments, **said})
        return {"id": made.result.get("id"), "url": made.result.get("url")}

    async def _once(
        self,
        find: Callable[[], Awaitable[Found | None]],
        make: Callable[[], Awaitable[Found]],
        otherwise: str,
    ) -> Found:
        """Look for it and make it where it is not there; what passes is tried again, after another look."""
        waits = iter(WAITS)
        refused: LinkspanError | None = None
        while True:
            try:
                if (found := await find()) is not None:
                    return found
                if refused is not None:
                    raise refused
                return await make()
            except (Conflict, InvalidArgument) as error:
                # "It is there already" is said so: look once more. Nothing else makes it right.
                if refused is not None:
                    raise _because(otherwise, error) from error
                refused = error
            except _PASSING as error:
                wait = next(waits, None)
                wait = wait if wait is None or error.retry_after is None else max(wait, error.retry_after)
                if wait is None or wait > _LONGEST_WAIT:
                    raise _because(otherwise, error) from error
                await self._sleep(wait)
            except LinkspanError as error:
                raise _because(otherwise, error) from error

    async def _pull_requests(
        self, principal: Principal, repository: Repository, branch: str, *, which: str
    ) -> list[Json]:
        known = await self._known(principal, "pull_request.list")
        parts = parts_of(repository.id)
        # Each forge has its own words for what is asked; what it does not know is not asked.
        offered: Json = {**parts, "from": f"{parts['owner']}:{branch}", "from_branch": branch}
        if "which" in known:
            offered["which"] = _meant(known["which"].get("enum", ()), which)[0]
        if "states" in known:
            offered["states"] = _meant(known["states"].get("items", {}).get("enum", ()), which)
        arguments = {name: value for name, value in offered.items() if name in known}
        found = await self._every(principal, "pull_request.list", arguments)
        # A forge that does not know the filter answers them all.
        return [each for each in found if each.get("head") == branch]

    async def _every(self, principal: Principal, key: str, arguments: Json) -> list[Json]:
        """Read a list to its end, or as far as anybody would."""
        found: list[Json] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            given = arguments if cursor is None else {**arguments, "cursor": cursor}
            page = await self._gateway.call(principal, self._tool(key), given, info=self._info())
            assert isinstance(page, Page)  # noqa: S101
            found += page.result
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def _call(self, principal: Principal, key: str, arguments: Json) -> Item:
        given = {name: value for name, value in arguments.items() if value is not None}
        done = await self._gateway.call(principal, self._tool(key), given, info=self._info())
        if not isinstance(done, Item) or not isinstance(done.result, dict):
            raise UpstreamError(f"the forge answered {key} with something else than one thing")
        return done

    async def _known(self, principal: Principal, key: str) -> Json:
        """Answer the arguments that an operation takes at the forge of this tenant."""
        tool = self._tool(key)
        connectors = [self._gateway.catalog.connectors[name] for name in tool.operations]
        name = connectors[0].name
        if len(connectors) > 1:
            name = (await self._accounts.credential(principal, connectors, None)).connector
        known: Json = tool.operations[name].schema.get("properties", {})
        return known

    def _tool(self, key: str) -> Any:
        tool = self._gateway.catalog.tool_for(key)
        if tool is None:
            raise InvalidArgument(
                f"tools.yaml has no {key}, which publishing needs",
                hint="Use a built-in connector for the forge, such as github, with its entities.",
            )
        return tool

    def _info(self) -> CallInfo:
        return CallInfo(self._random(16).hex(), via="run")

    async def _credential(self, principal: Principal, account: str) -> tuple[Credential, Connector]:
        catalog = self._gateway.catalog
        connectors = [catalog.connectors[name] for name in self._tool("repository.get").operations]
        credential = await self._accounts.credential(principal, connectors, account)
        return credential, catalog.connectors[credential.connector]

    def _filter(self, repository: Repository) -> Outgoing:
        hosts = (urlsplit(url).netloc.lower() for url in (self._base, repository.clone_url))
        return Outgoing(self._mask, frozenset(filter(None, hosts)))

    def _body(self, publication: Publication, filter_: Outgoing) -> str:
        said = filter_.text(publication.body, _LONGEST_BODY)
        return f"{said}\n\n---\n{self._ending(publication)}".lstrip()

    def _ending(self, publication: Publication) -> str:
        """Answer the last lines of what is published: which run, who asked, and how it is found again."""
        run = publication.run
        url = run_url(self._base, publication.tenant, run)
        asked = Outgoing(self._mask).line(publication.person or "", 80).replace("@", " at ")
        who = f", asked for by {asked}" if asked else ""
        return f"Codex run [{run}]({url}){who}.\n<!-- linkspan:{run} -->"


def _principal(tenant: Tenant, run: str, person: str | None) -> Principal:
    return Principal(tenant, "run", run, SCOPES, person=person)


def _principal_of(publication: Publication) -> Principal:
    return _principal(publication.tenant, publication.run, publication.owner)


def _without_name(url: str) -> str:
    """Answer a URL without the name of whoever asked, which Bitbucket puts before the host."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def parts_of(repository: str) -> dict[str, str]:
    """Answer all that a repository of this id may be called in arguments: by owner and name, or by its id.

    Which of it a forge goes by is said by its connector: each operation is given the words that it takes.
    """
    owner, _, name = repository.rpartition("/")
    return {"owner": owner, "repo": name, "project": repository}


def _meant(words: Sequence[str], which: str) -> list[str]:
    """Answer a forge's words for `open` or `all`: `opened`, `OPEN`; all of them where none says all."""
    if which == "open":
        return [word for word in words if word.lower().startswith("open")][:1] or ["open"]
    return ["all"] if "all" in words or not words else list(words)


def _shown(pull_request: Json) -> Json:
    names = ("id", "number", "url", "state", "draft", "head_sha")
    return {name: pull_request.get(name) for name in names}


def _because(otherwise: str, error: LinkspanError) -> LinkspanError:
    """Say what was not done before saying why."""
    if not error.message.startswith(otherwise):
        error.message = f"{otherwise}: {error.message}"
    return error


def _git_base(connector: Connector, credential: Credential) -> str:
    """Answer where the connector's repositories are, provided that the account was linked for it."""
    if connector.git is None:
        raise InvalidArgument(
            f"{connector.title} is no forge: its connector does not say where git finds repositories",
            hint=f"Give the connector {connector.name} the word `git` in tools.yaml.",
        )
    base = connector.git.base_url.expand(Scope({}, credential.settings)).rstrip("/")
    if origin_of(base) not in credential.origins:
        raise NeedsReauth(
            f"Account {credential.account} was linked before git of {connector.title} was at"
            f" {origin_of(base)}; nothing was sent",
            hint=f"Link it again: linkspan account link {connector.name} --account {credential.account}",
        )
    return base


def _access(connector: Connector, credential: Credential, base: str) -> GitAccess | None:
    """Answer the account's credential as git shows it; None for an account that has none."""
    way = connector.auth_method(credential.method)
    sent = [name for name in (way.sent if way else ()) if name != "username" and name in credential.secrets]
    if not sent:
        return None
    assert connector.git is not None  # noqa: S101
    username = connector.git.username
    if credential.method == "basic":
        username = connector.git.basic or credential.secrets["username"].reveal()
    authorities = credential.settings.get(connector.ca) if connector.ca is not None else None
    secret = credential.secrets[sent[-1]]
    return GitAccess(origin_of(base), username or "git", secret, authorities or None)
