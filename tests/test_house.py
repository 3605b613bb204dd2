"""The order of the house: who may import whom, who may touch a credential, and what no file may hold.

Architecture says it in a drawing; these tables say it exactly. An import that no table allows fails here:
take it away, or, where it belongs, add its edge with a sentence that says why.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from tests.servers.node import ROOT

SOURCE: Final = ROOT / "src" / "linkspan"
LONGEST_MODULE: Final = 450
"""About 400 lines is what we aim at."""
MAY_BE_LONGER: Final = {
    "linkspan.store.migrations": "One list in the order of time, which only grows.",
}

BELOW_APP: Final = (
    *("refusals", "wire", "accounts", "gateway", "codex", "runs", "mcp_server", "web", "reload", "settings"),
)
FOUNDATIONS: Final = ("spec", "net", "store", "vault", "text", "telemetry")
EDGES: Final[dict[str, dict[str, str]]] = {
    "errors": {},
    "settings": {},
    "spec": {"text": "The markups that `format` names are compiled into shapes and bodies."},
    "net": {
        "settings": "The egress guard is given the operator's allowance.",
        "telemetry": "Each exchange and each wait is counted and traced.",
    },
    "client": {},
    "store": {},
    "vault": {},
    "text": {},
    "telemetry": {},
    "reload": {"spec": "Hot reload reads tools.yaml again and holds the catalog that serves."},
    "refusals": {
        "spec": "Where a product's words of failure are is compiled with its connector.",
        "net": "When to come back is told in many forms.",
    },
    "wire": {
        "telemetry": "A request says what it is counted as.",
        "refusals": "An answer that is no success becomes an error.",
        "spec": "A request is made from a compiled plan, an answer shaped by compiled getters.",
        "net": "It goes out through the one client.",
        "vault": "It is the place where an opened credential is sent.",
    },
    "accounts": {
        "telemetry": "Deliveries and renewals are counted.",
        "wire": "Linking needs the origin that a connector's base URL has with the account's settings.",
        "spec": "Ways to connect and settings come from the connector.",
        "net": "Origins are read off URLs as the client reads them; it reaches token endpoints.",
        "settings": "Who vouches for people (identity providers) is a setting.",
        "store": "Tenants, accounts and tokens are rows.",
        "vault": "Credentials are sealed and opened here.",
    },
    "gateway": {
        "telemetry": "Calls are counted and traced.",
        "accounts": "A call is made by a principal, with the account's credential.",
        "wire": "It becomes one exchange.",
        "refusals": "A product's words about a stream that it refused are made harmless.",
        "spec": "Tools, operations and scopes.",
        "net": "The client is handed through; page positions and rate limits are read.",
        "store": "Every call leaves an audit row, and repeated writes are recognised by a row.",
        "vault": "Cursors are sealed, and an opened credential is handed to wire.",
        "settings": "How many calls there may be is a setting.",
    },
    "mcp_server": {
        "runs": "Runs are started, read and cancelled by tools, and read as resources.",
        "gateway": "Every tool call is a call of the gateway.",
        "accounts": "Bearer tokens become principals.",
        "spec": "Tools, resources and prompts are read from the catalog.",
        "text": "Resources are shown as Markdown.",
        "settings": "Origin checks, limits and the stateful mode are settings.",
    },
    "web": {
        "telemetry": "Requests to us are counted and traced.",
        "runs": "Runs are started, watched, approved and cancelled over REST.",
        "codex": "The model proxy is a door of its own.",
        "text": "The audit log is exported as a table.",
        "net": "Streams that are handed through are named by their type.",
        "store": "The management API shows rows, pages through them and writes to the audit log.",
        "vault": "A credential that is sent to be linked is wrapped as soon as it is read.",
        "gateway": "REST is another door to the same calls.",
        "wire": "What is handed through to a product is named by its type.",
        "refusals": "What a product said no with is told in our one shape.",
        "accounts": "Bearer tokens become principals.",
        "spec": "Routes follow from the catalog.",
        "settings": "The public URL and the trusted proxies are settings.",
    },
    "codex": {
        "accounts": "A run works for a tenant, with the tenant's own Codex account and forge account.",
        "gateway": "Model calls are streams for a principal, with the tenant's credential.",
        "wire": "What is passed on to a model is named by its type.",
        "net": "git and sandboxed commands go out through the egress proxy.",
        "vault": "Run tokens and git's credential are secrets.",
        "settings": "Where work is done, and what bounds it.",
    },
    "runs": {
        "telemetry": "Runs, their tokens and what is delivered are counted and traced.",
        "codex": "A run is work for an engine, in a place.",
        "net": "A clone URL is compared with the origins that an account was sealed for.",
        "gateway": "Entities are read, and pull requests and comments written, as the gateway's calls.",
        "wire": "Where a list of runs goes on is said as it is for every other list.",
        "accounts": "Who asked, whose account, and the outbox.",
        "spec": "Recipes come from the catalog.",
        "store": "A run, its events, approvals and artifacts are rows.",
        "text": "What is said to customers is Markdown.",
        "vault": "Transcripts are sealed.",
        "settings": "How many at once, and for how long what is kept.",
    },
    "app": dict.fromkeys(FOUNDATIONS + BELOW_APP, "The composition root wires everything once."),
    "measuring": dict.fromkeys(
        ("app", "reload", "settings", "store", "telemetry"),
        "What `serve` and `work` tell the operator's own tools.",
    ),
    "serving": dict.fromkeys(
        ("app", "mcp_server", "web", "runs", "accounts", "spec", "reload"),
        "What `linkspan serve` answers: the faces over one application.",
    ),
    "process": dict.fromkeys(
        (
            *("app", "serving", "measuring", "working", "mcp_server"),
            *("web", "runs", "spec", "vault", "reload", "settings"),
        ),
        "`linkspan serve` as a process: what it opens, in which order, and closes.",
    ),
    "working": dict.fromkeys(
        ("app", "measuring", "accounts", "codex", "runs", "net", "text", "vault", "reload", "settings"),
        "`linkspan work`, and `serve` where it works runs: engines, git and the journal, imported late.",
    ),
    "standing": dict.fromkeys(
        ("app", "accounts", "gateway", "spec", "vault", "reload", "settings"),
        "`linkspan stdio`: what is built behind the prepared answers.",
    ),
    "replaying": dict.fromkeys(
        ("app", "accounts", "gateway", "net", "settings", "spec"),
        "Recorded calls are made again in an installation of their own, with the record in place of the net.",
    ),
    "cli": {
        "replaying": "`fixtures` records and replays.",
        "text": "The audit log is exported as a table.",
        "runs": "`run` and `recipe` act on runs; their types are named.",
        "codex": "The demo asks whether Codex is installed before it offers its button.",
        "app": "Commands act on a built application.",
        "working": "`work`.",
        "process": "`serve`, and the demo's own server.",
        "serving": "The demo's server answers with its own page beside.",
        "standing": "`stdio`, with options before it.",
        "web": "The demo's page has the look of the others.",
        "reload": "The demo watches its tools.yaml too.",
        "settings": "Flags and environment become settings.",
        "spec": "check, schema and tools read a file without building anything.",
        "mcp_server": "`stdio` and `serve` start a face.",
        "accounts": "Tenants, accounts and tokens are administered; their types are named.",
        "gateway": "`call` prints what the gateway answers.",
        "vault": "A secret is wrapped as soon as it is read from a prompt, stdin or the environment.",
        "store": "What is listed are rows; their types are named.",
        "net": "`import` fetches a product's description through the egress guard.",
    },
    "server": {
        "mcp_server": "It holds the object that `mcp run` looks for.",
        "standing": "What stdio builds when its first call needs it.",
        "process": "`mcp run -t streamable-http` is `linkspan serve`.",
        "settings": "`mcp run` passes no flags on: everything is in the environment.",
    },
    "__main__": {
        "cli": "The command line.",
        "mcp_server": "`stdio` answers before the command line is imported.",
        "standing": "What stdio builds when its first call needs it.",
    },
}
"""Importer -> imported -> why. Every part may import `errors` and itself."""

PART_OF: Final = {"demo": "cli", "demo_codex": "cli"}
"""Modules at the top that are one part with another: the demo is a command that is long."""

LIBRARIES: Final[dict[str, set[str]]] = {
    "aiohttp": {"net", "linkspan.demo"},
    "yarl": {"net"},
    "click": {"cli"},
    "croniter": {"spec"},
    "dbos": {"runs"},
    "sqlalchemy": {"runs"},
    "cryptography": {"vault"},
    "html_to_markdown": {"text"},
    "jmespath": {"spec"},
    "jwt": {"accounts"},
    "markdown_it": {"text"},
    "mcp": {"mcp_server"},
    "mcp_types": {"mcp_server"},
    "nh3": {"text"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "psycopg": {"store"},
    "psycopg_pool": {"store"},
    "sqlite3": {"store"},
    "sqlite_utils": {"store"},
    "yaml": {"spec"},
}
"""What is wrapped by one part, so that it can change: library -> the parts and modules that import it."""

OPEN_A_CREDENTIAL: Final = {"accounts", "gateway"}
"""Who may open what the vault sealed."""
OPEN_WHAT_IS_THEIRS: Final = {
    "linkspan.runs.kept": "What a run made (diff, transcript), sealed for that purpose alone.",
}
"""Which other modules may open something that is no credential, and why."""

REVEAL_A_SECRET: Final = {
    "linkspan.wire": "The credential is written into the request that is about to be sent.",
    "linkspan.accounts.safe": "What was linked is sealed, and told to the redactor.",
    "linkspan.accounts.linking": "What is about to be sealed is checked for shape.",
    "linkspan.cli.admins": "A new admin key is shown, once.",
    "linkspan.cli.hooks": "A new secret for deliveries is shown, once.",
    "linkspan.cli.hook_test": "A sample is signed with it, for our own address.",
    "linkspan.accounts.hook_secrets": "It is sealed.",
    "linkspan.runs.hooks": "What was delivered is proved with it.",
    "linkspan.cli.webhooks": "The secret of a new webhook is shown, once.",
    "linkspan.cli.people": "The secret of an invitation is shown in its link, once.",
    "linkspan.cli.tokens": "A new token of ours is shown, once.",
    "linkspan.web.api": "What was just made (tokens, a webhook's secret, invitations) is answered, once.",
    "linkspan.accounts.link_sessions": "Of what a browser keeps the digest is stored.",
    "linkspan.accounts.link_attempts": "Of states and tickets the digest is stored.",
    "linkspan.cli.links": "A new link is shown, once.",
    "linkspan.web.console": "A new token, a link and a browser's own session are answered, once.",
    "linkspan.web.link": "A browser is given its own handle, and a window its ticket, once.",
    "linkspan.web.oauth": "What was issued (codes, tokens, cookies) goes back to who asked for it, once.",
    "linkspan.demo_codex": "The sample desk's own server is given its token.",
    "linkspan.demo": "The demo prints the tokens that it made for its sample tenants.",
    "linkspan.vault.transit": "The key service's token is sent to it.",
    "linkspan.runs.publishing": "The user name of a basic credential is what git shows with its password.",
    "linkspan.codex.git.program": "git's credential is written into the pipe that our own git reads it from.",
    "linkspan.codex.git.lfs_client": "The forge is shown what git shows it, when asked for files of LFS.",
    "linkspan.codex.hosted": "A run's own token is shown to who keeps them, before OpenAI is asked for it.",
    "linkspan.codex.responses": "The run's token for tools is handed to OpenAI, which calls them for it.",
    "linkspan.codex.agents_api": "The same, for a session.",
    "linkspan.codex.app_server.home": "The run's tokens are handed to its own Codex, with the thread.",
    "linkspan.accounts.oauth": "Codes and refresh tokens are sent to the token endpoint.",
    "linkspan.accounts.providers": "The client's id may be a customer's own, and goes into what is sent.",
    "linkspan.accounts.token_answers": "What was sent is looked for in what comes back, to tell none of it.",
}
"""Which modules, and packages with all in them, may take the value out of a Secret, and why."""


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The floor it stands on."""
        return part_of(self.name)

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of its tree, walked once for all tests."""
        return tuple(ast.walk(self.tree))

    def imports(self) -> Iterator[tuple[str, int]]:
        """Every imported module, wherever in the file, with its line."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
                source = (above + (node.module or "")).rstrip(".")
                yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)

    def calls(self, method: str) -> Iterator[tuple[str, int]]:
        """Every call of a method of that name: what it is called on, and the line."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and node.attr == method:
                yield ast.unparse(node.value), node.lineno


def part_of(name: str) -> str:
    part = name.split(".")[1] if "." in name else name
    return PART_OF.get(part, part)


@functools.cache
def modules() -> tuple[Module, ...]:
    """Answer all of them, parsed once for all tests."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("linkspan", *path.relative_to(SOURCE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        found.append(Module(path, name, ast.parse(path.read_text(), filename=str(path))))
    return tuple(found)


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_imports_go_down_only() -> None:
    """An edge between two parts of the house is in the table, or it is a mistake."""
    wrong = []
    for module in modules():
        allowed = {"errors", "__version__", module.part, *EDGES.get(module.part, {})}
        for name, line in module.imports():
            if name.startswith("linkspan.") and part_of(name) not in allowed:
                wrong.append(f"{module.path.relative_to(ROOT)}:{line}: {module.part} imports {name}")
    assert not wrong, "\n".join(["not in the table of edges:", *wrong])


def test_every_part_has_its_place() -> None:
    """A new package or module at the top gets a row in the table."""
    assert {module.part for module in modules()} - {"linkspan"} <= set(EDGES)


def test_the_table_itself_has_no_circle() -> None:
    """Nothing that is imported imports back, however far around."""
    left = {part: set(edges) for part, edges in EDGES.items()}
    while lowest := {part for part, edges in left.items() if not edges & set(left)}:
        left = {part: edges for part, edges in left.items() if part not in lowest}
    assert not left


def test_a_wrapped_library_is_imported_by_its_part_only() -> None:
    """What may have to be changed one day is imported in one place."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{line}: {name}"
        for module in modules()
        for name, line in module.imports()
        if not LIBRARIES.get(name.split(".")[0], {module.part}) & {module.part, module.name}
    ]
    assert not wrong, "\n".join(wrong)


def test_only_accounts_and_gateway_open_what_is_sealed() -> None:
    """No face, command or recipe gets at a credential."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{line}: {target}.open"
        for module in modules()
        for target, line in (*module.calls("open"), *module.calls("open_stored"))
        if "vault" in target.lower()
        and module.part not in OPEN_A_CREDENTIAL
        and module.name not in OPEN_WHAT_IS_THEIRS
    ]
    assert not wrong, "\n".join(wrong)


def test_only_what_sends_or_seals_a_secret_reveals_it() -> None:
    """Every place where a secret becomes text is known, with its reason."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{line}: {target}.reveal"
        for module in modules()
        for target, line in module.calls("reveal")
        if not {module.name, module.name.rpartition(".")[0]} & set(REVEAL_A_SECRET)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_module_can_be_read_in_a_sitting() -> None:
    """Longer than this, it holds two things."""
    lengths = ((len(module.path.read_text().splitlines()), module.name) for module in modules())
    long = [
        f"{name}: {lines} lines"
        for lines, name in lengths
        if lines > LONGEST_MODULE and name not in MAY_BE_LONGER
    ]
    assert not long, "\n".join(long)


def dependencies() -> list[str]:
    """What pyproject.toml asks for: to run, as extras and for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    return [*project["project"]["dependencies"], *chain.from_iterable(extras), *chain.from_iterable(groups)]


@pytest.mark.parametrize("entry", dependencies())
def test_a_dependency_is_explained_bounded_and_pinned(entry: str) -> None:
    """It has its reason in docs/decisions.md, a bound, and in scripts/pins the version that is tested."""
    name = re.split(r"[<>=;\[ ]", entry)[0]
    explained = (ROOT / "docs" / "decisions.md").read_text()
    pins = (ROOT / "scripts" / "pins" / "python.txt").read_text().lower().replace("_", "-")
    assert re.search(rf"`{name}(\[[\w,]+\])?`", explained), "no reason in docs/decisions.md"
    assert f"\n{name}==" in f"\n{pins}", "no version in scripts/pins/python.txt"
    assert re.search("[<>=]", entry) or name.startswith("types-"), "no bound"


FORBIDDEN: Final = {
    "a path of one machine": rf"/[r]oot/|/[w]ork/|{re.escape(str(ROOT))}\b",
    "a package registry's host": r"py[p]i\.org|python[h]osted\.|npm[j]s\.(org|com)|[d]ebian\.org",
    "a token of ours": r"\blsk_[a-z]{3,16}_[a-z0-9]{12}_[A-Za-z0-9_-]{43}",
    "the mark of a conflict": r"(?m)^[<]{7} |^[>]{7} ",
    "a private key": "-----BEGIN [A-Z ]*[P]RIVATE KEY",
    "a forge's token": r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|glpat-[\w-]{20})\b",
    "a vendor's token": r"\b(sk-[\w-]{32,}|xox[abp]-[\w-]{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{35})\b",
}


def test_no_tracked_file_holds_what_belongs_to_one_machine_or_person() -> None:
    """No machine's paths, no registry's host, nothing that looks like a secret."""
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode(errors="replace")
        for what, pattern in FORBIDDEN.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line}: {what}: {match[0][:12]}…")
    assert not found, "\n".join(found)
