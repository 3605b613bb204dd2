"""Driving Codex: the engines, the place where one works, and the proxy through which it reaches its model."""
