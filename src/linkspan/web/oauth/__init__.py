"""Signing in to us: an authorization server per tenant, and the pages that people see of it.

metadata.py    what a client reads first (RFC 8414)
authorize.py   a program asks, a person says yes or no (RFC 6749 §4.1, RFC 7636, RFC 8707, RFC 9207)
token.py       codes and refresh tokens become tokens, and tokens end (RFC 6749 §5, RFC 7009)
register.py    a program registers itself, where the operator allows it (RFC 7591)
invitations.py, provider.py    the two ways in which somebody says who he is
home.py        the page of whoever is signed in
routes.py      all of it, as routes
"""
