"""One API for everything that is linked: the products as they are, and as one.

entering.py    who comes in, for which tenant and account
asking.py      what a request says: its path as it was sent, and which of its parameters are ours
words.py       Truto's words, under both names
resources.py   which operation an address means
unified.py     `/unified/GROUP/PLURAL`: entities in one shape
batch.py       `/batch-request`: several calls in one, each with what others found
proxy.py       `/proxy/CONNECTOR/PATH` and `/custom/PATH`: handed through, one to one
routes.py      all of it, as routes
"""
