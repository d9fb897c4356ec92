"""Which resource a request is for, and what policy decides."""
