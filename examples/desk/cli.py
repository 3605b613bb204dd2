"""`python -m desk`: serve it, or fill it and print tokens."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from desk.app import build
from desk.codex import Codex
from desk.seed import issue_tokens, seed
from desk.store import Store

PORT = 8650


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and answer its exit code: 0, or 2 for wrong use."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["seed"]:
        return _seed(given[1:])
    return _serve(given[1:] if given[:1] == ["serve"] else given)


def _serve(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="desk",
        description="A small help desk to try Linkspan on. `desk seed` prints API tokens for it.",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    parser.add_argument("--fd", type=int, help="a socket that listens already, in place of a port")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1")
    parser.add_argument("--data", type=Path, default=Path(".work/desk"), help="a folder; default .work/desk")
    parser.add_argument("--public-url", help="what its links begin with; default http://HOST:PORT")
    parser.add_argument(
        "--let-anyone-in",
        action="store_true",
        help="allow a host other than loopback: whoever reaches the pages may sign in as anybody",
    )
    parser.add_argument(
        "--linkspan",
        metavar="URL",
        help="where Linkspan serves: tickets get the button Fix with Codex. DESK_LINKSPAN_TOKENS holds its"
        ' tokens as JSON, by organisation: {"acme": "lsk_tenant_…"}',
    )
    parser.add_argument("--model-note", default="", help="what the page says of the model")
    options = parser.parse_args(given)
    codex = _codex(parser, options.linkspan, options.model_note)
    if not _is_loopback(options.host) and not options.let_anyone_in:
        parser.error(
            f"--host {options.host}: its pages ask for no password, so it binds to loopback only"
            " (--let-anyone-in overrides)"
        )
    store = Store(options.data / "desk.sqlite")
    seed(store)
    name = f"[{options.host}]" if ":" in options.host else options.host
    url = options.public_url or f"http://{name}:{options.port}"
    sys.stdout.write(f"Desk at {url}  (tokens: python -m desk seed --data {options.data})\n")
    sys.stdout.flush()
    uvicorn.run(
        build(store, url, codex=codex),
        host=options.host,
        port=options.port,
        fd=options.fd,
        log_level="warning",
        access_log=False,
    )
    store.close()
    return 0


def _codex(parser: argparse.ArgumentParser, url: str | None, note: str) -> Codex | None:
    """Whoever runs Codex for the customers. Tokens come by the environment: arguments are for all to see."""
    if url is None:
        return None
    try:
        tokens = json.loads(os.environ.get("DESK_LINKSPAN_TOKENS", ""))
        if not isinstance(tokens, dict) or not all(isinstance(each, str) for each in tokens.values()):
            raise ValueError("no object of texts")
    except ValueError:
        parser.error('--linkspan needs DESK_LINKSPAN_TOKENS, such as {"acme": "lsk_tenant_…"}')
    return Codex(url, tokens, model_note=note)


def _seed(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="desk seed",
        description="Fill an empty desk with two organisations, and print a new API token for every user.",
    )
    parser.add_argument("--data", type=Path, default=Path(".work/desk"), help="a folder; default .work/desk")
    parser.add_argument("--port", type=int, default=PORT, help=f"where it is served; default {PORT}")
    parser.add_argument("--public-url", help="what its links begin with")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--reset", action="store_true", help="throw away what is there first")
    parser.add_argument(
        "--fixed-tokens",
        action="store_true",
        help="tokens that anybody can guess (desk_demo_acme_codex), for documentation and screenshots",
    )
    options = parser.parse_args(given)
    store = Store(options.data / "desk.sqlite")
    seed(store, reset=options.reset)
    url = options.public_url or f"http://127.0.0.1:{options.port}"
    made = {"url": url, "api": f"{url}/api/v1", **issue_tokens(store, fixed=options.fixed_tokens)}
    store.close()
    if options.json:
        sys.stdout.write(json.dumps(made, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{url}\n\nadmin token (switches)   {made['admin_token']}\n")
    for org, tokens in made["tokens"].items():
        sys.stdout.write(f"\n{org}\n" + "".join(f"  {who:<8} {token}\n" for who, token in tokens.items()))
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
