"""Built-in connectors: ready YAML that `use:` brings in, overridden key by key.

A file in `connectors/` holds the words of a connector, and under `entities` what can be done with it, in the
words of a tools.yaml whose connector has the file's name.
"""

from __future__ import annotations

from typing import Any

from linkspan.spec import yaml
from linkspan.spec.language import CONNECTORS, connector_names
from linkspan.spec.problems import Problems
from linkspan.spec.yaml import Node


def bring_in(root: Node, problems: Problems) -> None:
    """Put what a built-in connector says under every one that uses it, and its entities under the file's.

    A mapping is overridden key by key, everything else as a whole. A mistake that stands in what was brought
    in is told at its place in the built-in file.
    """
    connectors = root.child("connectors")
    if connectors is None or not isinstance(connectors.children, dict):
        return
    for name, node in connectors.children.items():
        word = node.child("use")
        if word is None:
            if node.child("entities") is not None:
                message = "chooses among the entities of a built-in connector; `use` names one"
                problems.add(("connectors", name, "entities"), "conflict", message, key=True)
                problems.break_(("connectors", name))
            continue
        known = connector_names()
        if not isinstance(word.value, str) or word.value not in known:
            message = f"cannot be {word.value!r}; built in: {', '.join(known)}"
            path = ("connectors", name)
            problems.add((*path, "use"), "bad_enum", message, words=known, word=str(word.value))
            problems.break_(path)
            continue
        file = CONNECTORS / f"{word.value}.yaml"
        ready, mistakes = yaml.read(file.read_bytes(), str(file))
        problems.found += mistakes
        if ready is not None and isinstance(ready.children, dict):
            entities = ready.children.pop("entities", None)
            if (chosen := node.child("entities")) is not None:
                _leave_out_events(
                    ready, [one.value for one in chosen.children or () if isinstance(one, Node)]
                )
            has_own_ways = node.child("auth") is not None
            _lay_under(node, ready)
            if not has_own_ways:
                _leave_out_ways(node)
            if entities is not None:
                _bring_entities(root, name, word.value, entities, node.child("entities"), problems)


def _leave_out_ways(node: Node) -> None:
    """Offer only the ways to connect whose client the file has: an operator may do without one.

    Where a tenant names the server, each account brings the client that this server knows.
    """
    ways, client = node.child("auth"), node.child("client")
    if ways is None or not isinstance(ways.children, list):
        return
    needs = {"oauth2": client, "github_app": client.child("private_key") if client else None}
    ways.children = [
        way
        for way in ways.children
        if (kind := way.child("type")) is None
        or needs.get(str(kind.value), kind) is not None
        or ((token := way.child("token_url")) is not None and str(token.value).startswith("{settings."))
    ]


def _leave_out_events(ready: Node, chosen: list[Any]) -> None:
    """Tell nothing of entities that were not chosen."""
    _leave_out_of(ready, "webhooks", chosen)
    for word in ("streams", "watch"):
        around = ready.child(word)
        if around is not None and isinstance(around.children, dict):
            for name in list(around.children):
                _leave_out_of(around, name, chosen)


def _leave_out_of(around: Node, name: str, chosen: list[Any]) -> None:
    source = around.child(name)
    events = source.child("events") if source is not None else None
    if events is None or not isinstance(events.children, dict) or not isinstance(around.children, dict):
        return
    for event in list(events.children):
        entity = events.children[event].child("entity")
        if (entity.value if entity is not None else event.partition(".")[0]) not in chosen:
            del events.children[event]
    if not events.children:
        del around.children[name]


def _bring_entities(
    root: Node, name: str, built_in: str, entities: Node, chosen: Node | None, problems: Problems
) -> None:
    """Lay the entities that were chosen under the file's, as those of the connector that uses them."""
    assert isinstance(entities.children, dict) and isinstance(root.children, dict)  # noqa: S101
    wanted = list(entities.children)
    if chosen is not None and isinstance(chosen.children, list):
        wanted = []
        for index, word in enumerate(chosen.children):
            if not isinstance(word.value, str):
                continue
            if word.value in entities.children:
                wanted.append(word.value)
                continue
            message = f"{built_in} has no entity {word.value!r}; it has {', '.join(entities.children)}"
            path = ("connectors", name, "entities", index)
            words = list(entities.children)
            problems.add(path, "unknown_entity", message, words=words, word=str(word.value))
    wanted += [each for each in _answered(entities, wanted) if each not in wanted]
    there = root.children.get("entities")
    if there is None:
        there = Node(None, entities.file, entities.line, entities.column, children={})
        root.children["entities"] = there
        root.keys["entities"] = (entities.file, entities.line, entities.column)
    for entity in wanted:
        node = entities.children[entity]
        sources = node.child("sources")
        if sources is not None and isinstance(sources.children, dict) and name != built_in:
            sources.children[name] = sources.children.pop(built_in)
            sources.keys[name] = sources.keys.pop(built_in)
        _offer_remote(sources)
        below = Node(None, entities.file, entities.line, entities.column, children={entity: node})
        below.keys[entity] = entities.keys[entity]
        _lay_under(there, below)


def _offer_remote(sources: Node | None) -> None:
    """Let reads show what the product answered, too, unless the file that uses them says otherwise.

    Nobody who uses what is built in has chosen which of a product's fields are left out.
    """
    for source in sources.children.values() if sources and isinstance(sources.children, dict) else ():
        if isinstance(source.children, dict) and "operations" in source.children:
            source.keys.setdefault("remote_data", (source.file, source.line, source.column))
            source.children.setdefault("remote_data", Node(True, source.file, source.line, source.column))


def _answered(entities: Node, wanted: list[Any]) -> list[str]:
    """Answer what the operations of these entities return that nothing can be done with by itself."""
    found = (
        operation.child("returns") for entity in wanted for operation in _operations(entities.child(entity))
    )
    names = dict.fromkeys(str(each.value) for each in found if each is not None)
    return [name for name in names if (node := entities.child(name)) and not _operations(node)]


def _operations(entity: Node | None) -> list[Node]:
    sources = entity.child("sources") if entity is not None else None
    each = sources.children.values() if sources is not None and isinstance(sources.children, dict) else ()
    operations = [source.child("operations") for source in each]
    return [
        operation
        for node in operations
        if node is not None and isinstance(node.children, dict)
        for operation in node.children.values()
    ]


def _lay_under(over: Node, under: Node) -> None:
    if not isinstance(over.children, dict) or not isinstance(under.children, dict):
        return
    for key, node in under.children.items():
        there = over.children.get(key)
        if there is None:
            over.children[key] = node
            over.keys[key] = under.keys[key]
        else:
            _lay_under(there, node)
