"""Formats: Markdown, dates, sizes."""
