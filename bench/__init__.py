"""Measures Linkspan beside its peers; `python -m bench --help`, docs/performance.md."""
