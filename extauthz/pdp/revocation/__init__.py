"""Revocations, and the requests and events that cause them."""
