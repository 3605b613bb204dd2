"""What people see, in a real browser.

A package, so that its Chromium ends with its last test: Playwright keeps an event loop running in the thread
of the tests, and asynchronous tests of other folders need that thread without one.
"""
