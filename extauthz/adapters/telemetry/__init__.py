"""The `Observer` over OpenTelemetry: spans, metrics and the audit line. Everything here sees `CheckDetails` only.

A check costs its caller a few dictionary operations (`tally`) and one place in a queue; spans and audit lines are made
by one thread in the background (`recorder`). OpenTelemetry's SDK is imported when something is exported or scraped.
"""
