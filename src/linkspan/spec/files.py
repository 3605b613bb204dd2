"""Reads the files of a catalog, puts them together, and names their version."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath

import linkspan
from linkspan.errors import Problem
from linkspan.spec import Paths, yaml
from linkspan.spec.catalog import Catalog
from linkspan.spec.compile import compile_catalog
from linkspan.spec.yaml import Node, Path, show_path


def read_catalog(paths: Paths, environ: Mapping[str, str]) -> tuple[Catalog | None, list[Problem]]:
    """Answer the catalog, None if there is a mistake, and every mistake."""
    names = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    problems: list[Problem] = []
    digest = hashlib.sha256(linkspan.__version__.encode())
    root: Node | None = None
    for name in names:
        try:
            data = FilePath(name).read_bytes()
        except OSError as error:
            problems.append(
                Problem(name, 1, 1, "", "unreadable", f"cannot be read: {error.strerror or error}")
            )
            continue
        digest.update(len(data).to_bytes(8, "big") + data)
        node, found = yaml.read(data, name)
        problems += found
        if node is not None and not isinstance(node.children, dict):
            problems.append(
                Problem(name, node.line, node.column, "", "wrong_type", "the file must be a mapping")
            )
        elif node is not None:
            root = node if root is None else _merge(root, node, problems)
    if root is None:
        return None, sorted(problems)
    catalog, found = compile_catalog(root, environ, files=tuple(names))
    problems = sorted({*problems, *found})
    if catalog is None or problems:
        return None, problems
    used = _used(root, environ)
    digest.update(json.dumps(sorted(used.items())).encode())
    return replace(catalog, version=digest.hexdigest()[:16], variables=used), []


def _used(root: Node, environ: Mapping[str, str]) -> dict[str, str]:
    texts: list[str] = []
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node.children, dict):
            left += node.children.values()
        elif isinstance(node.children, list):
            left += node.children
        elif isinstance(node.value, str) and "${" in node.value:
            texts.append(node.value)
    return {name: value for name, value in environ.items() if any(f"${{{name}}}" in text for text in texts)}


def _merge(one: Node, other: Node, problems: list[Problem], path: Path = ()) -> Node:
    """Put the second file's words beside the first's; a word that both have must be a mapping in both."""
    if not isinstance(one.children, dict) or not isinstance(other.children, dict):
        return one
    for key, node in other.children.items():
        known = one.children.get(key)
        if known is None:
            one.children[key] = node
            one.keys[key] = other.keys[key]
        elif isinstance(known.children, dict) and isinstance(node.children, dict):
            _merge(known, node, problems, (*path, key))
        elif path or key != "linkspan":
            file, line, column = other.keys[key]
            message = f"{key!r} stands in {known.file} already"
            problems.append(Problem(file, line, column, show_path((*path, key)), "duplicate_key", message))
    return one
