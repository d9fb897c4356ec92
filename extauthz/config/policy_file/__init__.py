"""The policy file: reading, checking and compiling it."""
