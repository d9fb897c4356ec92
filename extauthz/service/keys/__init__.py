"""Issuers' signing keys: kept, fetched once, shared."""
