"""The process's settings: flags and environment variables."""
