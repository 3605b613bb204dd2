"""Codex's own protocol, as far as products' pages speak it with us: what may be asked, and what is told."""
