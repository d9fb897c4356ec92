"""The gRPC transport: how checks come in and answers go out."""
