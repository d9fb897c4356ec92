"""The order of the steps, the ports, and what a process remembers between checks."""
