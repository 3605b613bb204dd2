"""`python -m bench.fields`: what a page of tickets costs to map, by the markup that their texts are in.

A hundred tickets of 2 KB, as Jira answers them, to the ticket model: CPU of the mapping alone, the best of 15
rounds, since it is the code that is measured and not the machine's other work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from linkspan import spec

TICKETS = 100
ROUNDS = 15
SENTENCE = "Some words about the failure of the importer when a file is empty. "
LINES = 14
FILE = """\
linkspan: 1
name: bench
instructions: List tickets with list_tickets.
connectors: {desk: {base_url: "https://desk.example", auth: [{type: bearer}]}}
entities:
  ticket:
    model: ticket
    sources:
      desk:
        fields:
          id: key
          key: key
          title: fields.summary
          description: DESCRIPTION
          status:
            from: fields.status.name
            values: {"To Do": todo, Selected: todo, "In Progress": in_progress, Done: done}
          priority: {from: fields.priority.name, values: {High: high, Low: low}}
          assignees: "fields.assignee && [{id: fields.assignee.accountId, name: fields.assignee.displayName}]"
          labels: fields.labels
          created_at: fields.created
          updated_at: fields.updated
          pull_requests: {from: fields.branch, match: "(?P<key>[A-Z]{2,10}-[0-9]+)"}
          attachments: {each: fields.attachment, map: {id: id, name: filename, size: size}}
          url: self
        operations:
          list: {request: GET /tickets, items: "@"}
"""
_TEXT = {"type": "text", "text": SENTENCE}
_BOLD = {"type": "text", "text": "bold ", "marks": [{"type": "strong"}]}
TEXTS: dict[str, Any] = {
    "Markdown": SENTENCE * 2 * LINES,
    "html": f"<p>{SENTENCE}<b>bold</b> {SENTENCE}</p>" * LINES,
    "adf": {"type": "doc", "content": [{"type": "paragraph", "content": [_TEXT, _BOLD, _TEXT]}] * LINES},
    "wiki": f"{SENTENCE}*bold* {SENTENCE}\n" * LINES,
    "mrkdwn": f"{SENTENCE}*bold* {SENTENCE}\n" * LINES,
}


def ticket(text: Any) -> dict[str, Any]:
    """Answer one ticket as the product has it."""
    return {
        "key": "ENG-1",
        "self": "https://desk.example/ENG-1",
        "fields": {
            "summary": "The importer fails when a file is empty",
            "status": {"name": "Selected"},
            "priority": {"name": "High"},
            "assignee": {"accountId": "1", "displayName": "Ann"},
            "labels": ["importer", "files"],
            "created": "2026-11-22T12:42:19.000+0000",
            "updated": "2026-11-23T12:42:19.000+0000",
            "branch": "fix/ENG-12-empty-files",
            "attachment": [{"id": "1", "filename": "empty.csv", "size": 0}],
            "description": text,
        },
    }


def shape_of(markup: str) -> Callable[[Any], Any]:
    """Answer what maps a ticket whose text is in a markup."""
    field = (
        "fields.description" if markup == "Markdown" else f"{{from: fields.description, format: {markup}}}"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tools.yaml"
        file.write_text(FILE.replace("DESCRIPTION", field), encoding="utf-8")
        tool = spec.load(file, {}).tool("list_tickets")
    if tool is None or (shape := tool.operations["desk"].shape) is None:
        raise RuntimeError("the file of this measurement has no list of tickets")
    return shape


def main() -> None:
    """Measure and print."""
    print(f"| texts in | ms of CPU for {TICKETS} tickets of 2 KB |\n|---|---|")
    for markup, text in TEXTS.items():
        shape, item = shape_of(markup), ticket(text)
        shape(item)
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(TICKETS):
                shape(item)
            best = min(best, time.process_time() - began)
        print(f"| {markup} | {best * 1000:.1f} |")


if __name__ == "__main__":
    main()
