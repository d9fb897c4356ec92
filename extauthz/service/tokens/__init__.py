"""From a token to a verified caller, and what is cached about it."""
