"""Sealed secrets: AES-GCM, key ids, additional data that ties a value to its place; redaction."""
