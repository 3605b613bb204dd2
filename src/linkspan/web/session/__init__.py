"""Embedded Codex sessions: `/t/{tenant}/codex`, where products' pages speak the app-server's protocol.

`socket` lets in and keeps the connection, `requests` answers methods, `following` tells what happens, and
`shapes` writes runs and their events as Codex's threads, turns, items and notifications.
"""
