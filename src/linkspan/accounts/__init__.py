"""Tenants, people, linked accounts and their credentials, tokens."""
