"""Attacks on gateways in front of MCP servers: a corpus of requests as plain data, and what sends them.

A thing of its own: it knows nothing of the rest of extauthz, and runs against any MCP endpoint. `cases/` holds the
corpus, `corpus` reads it, `compose` makes bytes of a case, `exchange` sends them, `judge` reads the answer, `run` does
all of it in turn, `report` and `junit` tell.
"""
