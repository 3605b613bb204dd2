"""Built-in connectors: ready YAML that `use:` brings in, overridden key by key."""

from __future__ import annotations

from linkspan.spec import yaml
from linkspan.spec.language import CONNECTORS, connector_names
from linkspan.spec.problems import Problems
from linkspan.spec.yaml import Node


def bring_in(root: Node, problems: Problems) -> None:
    """Put what a built-in connector says under every connector that uses it.

    A mapping is overridden key by key, everything else as a whole. A mistake that stands in what was brought
    in is told at its place in the built-in file.
    """
    connectors = root.child("connectors")
    if connectors is None or not isinstance(connectors.children, dict):
        return
    for name, node in connectors.children.items():
        word = node.child("use")
        if word is None:
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
        if ready is not None:
            _lay_under(node, ready)


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
