"""Rows: one SQL subset, one file of queries per aggregate. Callers pass the clock."""
