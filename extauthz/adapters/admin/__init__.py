"""The admin port: what it shows, and what can be done there."""
