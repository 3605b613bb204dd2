"""What people see of runs: a page for each, alive while it goes on, complete afterwards.

`entries` says what an event looks like, `diffs` what a change does, `viewer` who looks and what they may do;
`pages`, `stream` and `doing` are the doors.
"""
