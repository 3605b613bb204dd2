"""One call for a principal, from start to finish."""
