"""Bounded caches, signed entries of the shared store, and locks per key."""
