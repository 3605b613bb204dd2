"""git for runs: a mirror for each repository and tenant, a working tree and a branch for each run.

A repository is written by strangers, so nothing in one is ever a reason for git to run something: no hook, no
filter, no diff driver, no submodule, no file monitor. Our own git never reads a `.git` that a run could have
written to; what lies in the working tree under that name is a copy for Codex to look at.
"""
