"""Settings: read once from the environment and flags, frozen, handed down from the composition root."""

from linkspan.settings.reading import read_settings
from linkspan.settings.shapes import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    CallLimits,
    CodexSettings,
    ConsoleRight,
    EgressAllowance,
    Network,
    Provider,
    Settings,
    SignIn,
)
from linkspan.settings.words import parse_duration, parse_egress

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "CallLimits",
    "CodexSettings",
    "ConsoleRight",
    "EgressAllowance",
    "Network",
    "Provider",
    "Settings",
    "SignIn",
    "parse_duration",
    "parse_egress",
    "read_settings",
]
