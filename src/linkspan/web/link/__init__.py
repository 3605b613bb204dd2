"""The page on which people link an account with a link token, in a window, a frame or by a link.

pages.py       what a browser opens: the page, the window on its way to a product, and the way back
sessions.py    what the page asks and does: open, show, link by a credential, ask for a consent, try again
shown.py       a session as the page is told it: products, forms, what came of it
browser.py     what a browser keeps of a session, framed or not
routes.py      all of it, as routes

static/link/ has the scripts: page.js (the flow), views.js (what is seen), server.js (what is asked), host.js
(messages to the page that has opened it), travel.js (the window that goes to a product, seen from here),
away.js and back.js (seen from there).
"""
