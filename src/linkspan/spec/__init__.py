"""tools.yaml in, an immutable Catalog out. Pure: no I/O but reading files."""
