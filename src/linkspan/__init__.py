"""Linkspan: the bridge between a SaaS product's data and OpenAI's Codex."""

__version__ = "0.1.0"
