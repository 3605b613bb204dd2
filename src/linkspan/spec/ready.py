"""A built-in connector as it is before anybody's file uses it: with every way to connect that it has."""

from __future__ import annotations

from typing import Final

from linkspan.spec import yaml
from linkspan.spec.catalog import Connector
from linkspan.spec.compile import compile_catalog
from linkspan.spec.language import connector_names

_FILE: Final = """\
linkspan: 1
name: ready
instructions: Nothing is listed here, so list nothing.
connectors:
  {name}: {{use: {name}, entities: []{client}}}
"""
_CLIENT: Final = ", client: {id: x, secret: x, private_key: x}"
"""What ways need that an operator registers for; it is used for nothing."""


def ready_connector(name: str) -> Connector | None:
    """Answer the built-in connector of that name, None if there is none."""
    if name not in connector_names():
        return None
    for client in (_CLIENT, ""):  # one with keys alone takes no client
        root, _ = yaml.read(_FILE.format(name=name, client=client).encode(), name)
        catalog = compile_catalog(root, {})[0] if root is not None else None
        if catalog is not None:
            return catalog.connectors[name]
    return None
