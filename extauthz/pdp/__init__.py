"""The policy decision point: values and pure functions. No I/O, no clock, no logging (import-linter holds it)."""
