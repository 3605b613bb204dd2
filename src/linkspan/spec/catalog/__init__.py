"""What tools.yaml becomes: an immutable `Catalog`, compiled once per file version, nothing left to parse.

Everything below this line of the house reads these classes and never YAML again. Getters, predicates and
values are compiled closures; a `Catalog` is shared by all tenants and replaced whole on a hot reload.
"""

from linkspan.spec.catalog.connectors import (
    AuthMethod,
    Connector,
    FailureRule,
    GitHost,
    ProxyRule,
    RateRule,
    Setting,
    Verify,
)
from linkspan.spec.catalog.operations import Block, Elicit, FieldSource, Operation, Progress, Tool
from linkspan.spec.catalog.requests import Arrays, Body, Include, Paging, RequestPlan, Step, Upload
from linkspan.spec.catalog.values import (
    ABSENT,
    LATER,
    Getter,
    Json,
    Kind,
    Predicate,
    Scope,
    Shape,
    Template,
    Value,
)
from linkspan.spec.catalog.whole import (
    Catalog,
    Entity,
    FieldInfo,
    Prompt,
    PromptMessage,
    Resource,
    scopes_allow,
)

__all__ = [
    "ABSENT",
    "LATER",
    "Arrays",
    "AuthMethod",
    "Block",
    "Body",
    "Catalog",
    "Connector",
    "Elicit",
    "Entity",
    "FailureRule",
    "FieldInfo",
    "FieldSource",
    "Getter",
    "GitHost",
    "Include",
    "Json",
    "Kind",
    "Operation",
    "Paging",
    "Predicate",
    "Progress",
    "Prompt",
    "PromptMessage",
    "ProxyRule",
    "RateRule",
    "RequestPlan",
    "Resource",
    "Scope",
    "Setting",
    "Shape",
    "Step",
    "Template",
    "Tool",
    "Upload",
    "Value",
    "Verify",
    "scopes_allow",
]
