"""The management API: what an operator's own programs do, with an admin key.

endpoint.py    one door: the key, the limits, what was sent, what is answered, how it fails
models.py, *_models.py    what is sent and answered, as pydantic models
openapi.py     the description at /openapi.json, made from the same doors and models
tenants.py, people.py, tokens.py, accounts.py, webhooks.py, log.py, runs.py, …    what each door does
routes.py      all of it, as routes
"""
