"""The whole system on loopback, for trying out. Nothing here is for production."""
