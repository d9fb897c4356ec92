"""Resource URIs: what a server may take one for, and patterns of them."""
