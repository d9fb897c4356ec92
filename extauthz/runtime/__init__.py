"""What a long-running process needs around the service: reloads, workers, garbage collection."""
