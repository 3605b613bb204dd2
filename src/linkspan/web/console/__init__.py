"""The console: what operators see and do in a browser, without a script.

`shape` says what a page is made of, `door` who comes in and what their role lets them do, and each other
module is the pages of one thing.
"""
