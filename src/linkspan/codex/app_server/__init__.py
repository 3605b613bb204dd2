"""The engine that hosts Codex itself: `codex app-server`, one process for each run, over its pipes."""
