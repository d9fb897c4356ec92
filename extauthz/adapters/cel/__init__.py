"""Conditions of rules in the Common Expression Language."""
