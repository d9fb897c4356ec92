"""Keeps the process in step with the fleet's revocations, and takes in events about them."""
