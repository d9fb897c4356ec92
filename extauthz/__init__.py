"""extauthz: an Envoy external-authorization service for MCP servers."""

__version__ = "0.1.0"
