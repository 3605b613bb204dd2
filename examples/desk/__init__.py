"""A help desk: a small, real SaaS with tickets, alerts and designs, made to try Linkspan on.

    python -m desk --port 8650 --data .work/desk      (from examples/; see README.md)

Two organisations live in it, `acme` and `globex`, and neither sees anything of the other.

    cli  →  app  →  api, pages, doorman  →  tickets, alerts, designs, comments  →  outbox  →  store
"""
