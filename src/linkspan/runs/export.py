"""All that is told of a run, to take away: as JSON Lines for programs, as one HTML file for people.

The HTML needs nothing else and runs nothing: no script, no address of another host that is loaded, and a
policy in the file that says so to the browser. What a model or a product wrote is text in it, never markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final

from linkspan.runs.about import TITLES
from linkspan.runs.history import Record
from linkspan.runs.shown import shown_approval, shown_event, shown_run
from linkspan.runs.telling import lines_of
from linkspan.runs.transcript import call_line, clock, facts_of, item_of, moment
from linkspan.store.approvals import Approval
from linkspan.store.audit import AuditRow
from linkspan.store.outbox import iso
from linkspan.store.run_events import RunEvent

_SAFE: Final = ("https://", "http://")


def jsonl_of(record: Record) -> Iterator[str]:
    """Answer a run as lines: `run` first, then its events, questions, calls and what it made."""
    identified = record.run.id
    yield _line("run", identified, shown_run(record.run))
    for event in record.events:
        yield _line("event", identified, shown_event(event))
    for approval in record.approvals:
        yield _line("approval", identified, shown_approval(approval))
    for call in record.calls:
        yield _line("call", identified, {**asdict(call), "time": iso(call.time)})
    for name, text in record.texts.items():
        yield _line("artifact", identified, {"name": name, "text": text})


def html_of(record: Record) -> str:
    """Answer a run as one page."""
    run = record.run
    heading = " ".join(f"{run.recipe} {run.entity_id or ''}".split())
    title = f"{heading}: {run.entity_title}" if run.entity_title else heading
    called = {call.call_id: call for call in record.calls if call.call_id}
    parts = [
        _HEAD.replace("TITLE", escape(f"{title} · {run.id}")).replace("STYLE", _STYLE),
        f'<header><p class="state {escape(run.state)}">{escape(TITLES[run.state])}</p>',
        f"<h1>{escape(title)}</h1></header>",
        f"<ul class=facts>{''.join(f'<li>{_linked(line)}</li>' for line in facts_of(run))}</ul>",
    ]
    if run.summary:
        parts.append(f"<h2>What Codex says it did</h2><div class=words>{escape(run.summary)}</div>")
    parts += [_questions(record.approvals), _events(record.events, called), _calls(record.calls)]
    parts += [
        f"<h2>{escape(name.capitalize())}</h2>{_diff(text) if name in ('diff', 'patch') else _pre(text)}"
        for name, text in record.texts.items()
    ]
    return "\n".join(part for part in parts if part) + "\n</main></body></html>\n"


def _line(kind: str, run: str, data: Mapping[str, Any]) -> str:
    told = {"type": kind, "run": run, "data": data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"


def _questions(approvals: Sequence[Approval]) -> str:
    if not approvals:
        return ""
    items = []
    for each in approvals:
        who = each.person or each.decided_by or "nobody"
        answer = (
            f"{each.decision} by {who}, {moment(each.decided or each.created)}" if each.decision else "open"
        )
        note = f" “{each.note}”" if each.note else ""
        items.append(f"<li><b>{escape(each.kind)}</b> {escape(each.reason)}: {escape(answer + note)}</li>")
    return f"<h2>What people were asked</h2><ul>{''.join(items)}</ul>"


def _events(events: Sequence[RunEvent], called: Mapping[str, AuditRow]) -> str:
    rows = []
    for event in events:
        told = _event(event, called)
        if told:
            rows.append(f"<tr><td><time>{clock(event.time)}</time></td><td>{told}</td></tr>")
    return f"<h2>What happened</h2><table class=events>{''.join(rows)}</table>" if rows else ""


def _event(event: RunEvent, called: Mapping[str, AuditRow]) -> str:
    item = item_of(event)
    match item.get("type"):
        case "agentMessage" | "userMessage":
            return f"<div class=words>{escape(str(item.get('text') or ''))}</div>"
        case "commandExecution":
            output = str(item.get("aggregatedOutput") or "")
            first = f"<code>$ {escape(str(item.get('command') or ''))}</code>"
            code = item.get("exitCode")
            ended = (
                ""
                if code == 0
                else f" <b class=bad>{escape(str(item.get('status')))} {escape(str(code))}</b>"
            )
            more = f"<details><summary>output</summary>{_pre(output)}</details>" if output else ""
            return f"{first}{ended}{more}"
        case "mcpToolCall" if str(item.get("id")) in called:
            return f"<code>{escape(call_line(called[str(item['id'])]))}</code>"
    return "<br>".join(f"<span>{escape(line)}</span>" for line in lines_of(event))


def _calls(calls: Sequence[AuditRow]) -> str:
    if not calls:
        return ""
    rows = "".join(
        f"<tr><td><time>{clock(call.time)}</time></td><td>{escape(call_line(call))}</td></tr>"
        for call in calls
    )
    return f"<h2>Tools that the conversation called</h2><table class=events>{rows}</table>"


def _diff(text: str) -> str:
    kinds = {"+": "ins", "-": "del", "@": "b"}
    lines = []
    for line in text.removesuffix("\n").split("\n"):  # as git ends them, and nothing else does
        tag = None if line.startswith(("+++", "---")) else kinds.get(line[:1])
        lines.append(f"<{tag}>{escape(line)}</{tag}>" if tag else escape(line))
    return f"<pre>{chr(10).join(lines)}</pre>"


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _linked(line: str) -> str:
    before, sign, url = line.partition("Published: ")
    if not sign or not url.startswith(_SAFE):
        return escape(line)
    return f'{escape(before)}Published: <a rel="noreferrer noopener" href="{escape(url)}">{escape(url)}</a>'


_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>TITLE</title><style>STYLE</style></head><body><main>"""
_STYLE: Final = """
:root { color-scheme: light dark; --line: light-dark(#d8dbe2, #363b45); --soft: light-dark(#f5f6f8, #1d2027);
  --good: light-dark(#12703c, #5fd38d); --bad: light-dark(#b3261e, #ff8a80) }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .4rem 0 1rem }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
.state { display: inline-block; margin: 0; padding: .1rem .7rem; border-radius: 1rem; background: var(--soft);
  border: 1px solid var(--line); font-size: .85rem }
.state.succeeded { color: var(--good) } .state.failed, .state.timed_out, .bad { color: var(--bad) }
.facts { padding-left: 1.1rem } .words { white-space: pre-wrap; overflow-wrap: anywhere;
  border-left: 3px solid var(--line); padding-left: .8rem }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; padding: .8rem;
  overflow: auto; max-height: 40rem; font-size: .85rem; line-height: 1.45 }
code { overflow-wrap: anywhere; font-size: .9em } table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid var(--line); padding: .4rem .6rem .4rem 0; vertical-align: top;
  overflow-wrap: anywhere }
td:first-child { width: 5.5rem; white-space: nowrap; opacity: .7; font-variant-numeric: tabular-nums }
ins, del { text-decoration: none } ins { color: var(--good) } del { color: var(--bad) }
"""
