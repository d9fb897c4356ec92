"""Reading MCP: one HTTP request in, the one operation that every server would carry out, or why there is none.

`read` is the way in; `methods` the one table of what MCP has; the other modules are one rule each. No judgement about
who may do what belongs here.
"""
