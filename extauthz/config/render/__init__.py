"""Configuration for proxies, rendered from the policy file."""
