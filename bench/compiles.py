"""`python -m bench compile`: what it takes to read, check and compile a large catalogue.

25 connectors with 12 operations each, in the shape that people write: half of the operations are those of
tickets, which all 25 have, half of things that one product alone has. The named baseline reads the same file
with PyYAML's C parser and holds it against the published JSON Schema with `jsonschema`, which finds a
misspelt word and nothing that a word means. Every figure is of a process of its own; both take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.contestants import LINKSPAN
from bench.environment import ROOT

CONNECTORS: Final = 25
OPERATIONS: Final = 300
SCHEMA: Final = ROOT / "src" / "linkspan" / "spec" / "tools.schema.json"

_HEAD: Final = """\
linkspan: 1
name: bench
instructions: >-
  Many products of one customer: list, search, get, create, update and comment on tickets and on
  each product's own things. Start with search_tickets or list_tickets.
connectors:
"""
_CONNECTOR: Final = """\
  NAME:
    title: NAME Desk
    base_url: https://{settings.site}.NAME.example/api/v2
    settings:
      site: {title: Site, description: The word before .NAME.example, pattern: "[a-z0-9-]+"}
    auth:
      - {type: bearer, title: API token, help_url: "https://NAME.example/help/tokens"}
    verify: {request: GET /me, id: id, label: email}
    pagination: {style: cursor, send: {query: cursor}, read: meta.next_cursor, size: {query: limit, max: 100}}
    error: {when: "body.ok == `false`", message: body.error.message}
    rate_limit: {retry_after: body.error.retry_after}
    webhooks:
      verify: {hmac: sha256, header: X-Desk-Signature, prefix: "sha256="}
      id: {header: X-Desk-Delivery}
      events:
        ticket.assigned: {when: "body.type == 'ticket.assigned'", id: body.ticket.id}
"""
_TICKET: Final = """\
      NAME:
        identity: "{id}"
        fields:
          id: id
          key: number
          title: subject
          description: {from: body_html, format: html}
          status:
            from: state
            values: {open: todo, reopened: todo, wip: in_progress, fixed: done}
            write: {todo: open}
          priority: {from: urgency, values: {1: urgent, 2: high, 3: medium, 4: low}}
          assignees: "assignee && [{id: assignee.id, name: assignee.name}]"
          labels: labels
          created_at: created_at
          updated_at: updated_at
          pull_requests: {from: branch, match: "(?P<key>[A-Z]{2,10}-[0-9]+)"}
          url: links.web
        operations:
          list:
            description: List tickets, newest first, optionally only those with one status or one assignee.
            request: GET /tickets
            query: {state: $status, assignee: $login}
            params: {login: {type: string, description: Login of the person it is assigned to.}}
            items: tickets
          search: {request: GET /search, query: {q: $query}, items: hits}
          get: {request: "GET /tickets/{id}", item: ticket}
          create:
            description: Create a ticket. It is seen by everybody in the project at once.
            request: POST /tickets
            body: {subject: $title, body_html: {$: description, format: html}, labels: $labels}
          update:
            description: Update the status, title or labels of a ticket. What is left out stays as it is.
            request: PATCH /tickets/{id}
            body: {state: $status, subject: $title, labels: $labels}
          comment:
            description: Add a comment on a ticket. Visible to the customer.
            request: POST /tickets/{id}/comments
            body: {comment: {html: {$: body, format: html}}}
            returns: comment
"""
_COMMENT: Final = """\
      NAME:
        fields:
          id: id
          body: {from: html, format: html}
          author: "{id: author.id, name: author.name}"
          created_at: created
        operations:
          list:
            description: List the comments of a ticket, oldest first.
            request: GET /tickets/{ticket}/comments
            params: {ticket: {type: string, description: Id of the ticket.}}
            items: comments
"""
_OWN: Final = """\
  NAME_order:
    fields:
      id: string
      title: {type: string, description: What it is about., required: true}
      stage: {type: string, enum: [draft, sent, paid]}
      lines: {type: array, items: {type: object}}
      total: number
      ordered_at: datetime
      url: string
    sources:
      NAME:
        fields:
          id: id
          title: subject
          stage: {from: state, values: {0: draft, 1: sent, 2: paid}}
          lines: {each: positions, map: {sku: sku, count: count, price: price.amount}}
          total: totals.gross
          ordered_at: ordered
          url: links.web
        operations:
          list:
            description: List NAME orders, newest first, optionally only those at one stage.
            request: GET /orders
            query: {state: $stage}
            items: orders
          search: {request: GET /orders/search, query: {q: $query}, items: hits}
          get: {request: "GET /orders/{id}", item: order}
          create: {request: POST /orders, body: {subject: $title, state: $stage}}
          update: {request: "PATCH /orders/{id}", body: {subject: $title, state: $stage}}
"""

_OURS: Final = """
import json, sys, time
import linkspan.spec.compile, linkspan.spec.files
from linkspan import spec
taken = []
for _ in range(4):
    began, spent = time.perf_counter(), time.process_time()
    catalog = spec.load([sys.argv[1]], {})
    taken.append((time.perf_counter() - began, time.process_time() - spent))
again = min(taken[1:], key=lambda one: one[1])
print(json.dumps([*taken[0], *again, sum(len(tool.operations) for tool in catalog.tools)]))
"""
_BASELINE: Final = """
import json, sys, time
import jsonschema, yaml
schema = json.load(open(sys.argv[2]))
taken = []
for _ in range(4):
    began, spent = time.perf_counter(), time.process_time()
    data = yaml.load(open(sys.argv[1], encoding="utf-8"), yaml.CSafeLoader)
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(data))
    taken.append((time.perf_counter() - began, time.process_time() - spent))
again = min(taken[1:], key=lambda one: one[1])
print(json.dumps([*taken[0], *again, len(found)]))
"""
_ONCE: Final = """
import json, sys
import jsonschema, yaml
data = yaml.load(open(sys.argv[1], encoding="utf-8"), yaml.CSafeLoader)
found = list(jsonschema.Draft202012Validator(json.load(open(sys.argv[2]))).iter_errors(data))
print(len(found), "mistakes")
"""

Taken = tuple[float, float]
"""Milliseconds by the clock, and of CPU."""


def catalogue() -> str:
    """Answer the file."""
    names = [f"{first}{second}" for first in _FIRST for second in _SECOND]
    parts = [_HEAD, *(_CONNECTOR.replace("NAME", name) for name in names), "entities:\n"]
    for entity, text in (("ticket", _TICKET), ("comment", _COMMENT)):
        parts.append(f"  {entity}:\n    model: {entity}\n    sources:\n")
        parts += [text.replace("NAME", name) for name in names]
    return "".join([*parts, *(_OWN.replace("NAME", name) for name in names)])


_FIRST: Final = ("alpha", "bravo", "delta", "gamma", "kappa")
_SECOND: Final = ("one", "two", "six", "ten", "nil")


def main(words: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench compile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(words).rounds
    with tempfile.TemporaryDirectory(prefix="linkspan-bench-") as folder:
        config = Path(folder) / "tools.yaml"
        config.write_text(catalogue(), encoding="utf-8")
        ours, bare, check, beside = measure(config, rounds)
    rows = [
        ("compiled, the first time in a process", [one[0] for one in ours], [one[0] for one in bare], 300),
        ("compiled again, as at an edit", [one[1] for one in ours], [one[1] for one in bare], 300),
        ("`linkspan check`, the whole command", check, beside, 1000),
    ]
    print(f"{CONNECTORS} connectors, {OPERATIONS} operations, medians of {rounds} interleaved rounds.\n")
    print("| | ms | of CPU | baseline: ms | of CPU | ratio of CPU | aim: ms |\n|---|---|---|---|---|---|---|")
    for what, mine, theirs, aim in rows:
        shown = [
            f"{statistics.median(each):.0f}"
            for each in (*zip(*mine, strict=True), *zip(*theirs, strict=True))
        ]
        ratio = statistics.median(one[1] / other[1] for one, other in zip(mine, theirs, strict=True))
        print(f"| {what} | {' | '.join(shown)} | {ratio:.2f} | {aim} |")
    return 0


Both = tuple[Taken, Taken]


def measure(config: Path, rounds: int) -> tuple[list[Both], list[Both], list[Taken], list[Taken]]:
    """Answer, by round: compiling (first and again) and the baseline's, the command and the baseline's."""
    ours, bare, check, beside = [], [], [], []
    for number in range(rounds):
        for is_ours in (True, False) if number % 2 == 0 else (False, True):
            if is_ours:
                ours.append(_inside(_OURS, config, OPERATIONS))
                check.append(_whole([str(LINKSPAN), "check", str(config)]))
            else:
                bare.append(_inside(_BASELINE, config, 0))
                beside.append(_whole([sys.executable, "-c", _ONCE, str(config), str(SCHEMA)]))
    return ours, bare, check, beside


def _inside(program: str, config: Path, wanted: int) -> Both:
    command = [sys.executable, "-c", program, str(config), str(SCHEMA)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, first_cpu, again, again_cpu, count = json.loads(done.stdout)
    if count != wanted:
        raise RuntimeError(f"{count} instead of {wanted}")
    return (1000 * first, 1000 * first_cpu), (1000 * again, 1000 * again_cpu)


def _whole(command: Sequence[str]) -> Taken:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=dict(os.environ), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * (time.perf_counter() - began), 1000 * spent
