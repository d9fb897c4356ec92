"""Redis and Valkey in all their forms: shared entries, and the shared log of revocations."""
