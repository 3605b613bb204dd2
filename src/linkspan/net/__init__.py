"""Bytes out: request in, response out. Knows no tenant and no tools.yaml."""
