"""Reading and judging access tokens: JOSE, keys, claims, profiles of issuers."""
