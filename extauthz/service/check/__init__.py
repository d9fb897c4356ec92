"""One check, from request bytes to response bytes."""
