"""HTTP to issuers: key sets, their descriptions of themselves, introspection."""
