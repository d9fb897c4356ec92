"""What the client and the upstream receive: challenges, headers, JSON-RPC errors."""
