"""MCP sessions and the principals that they belong to."""
