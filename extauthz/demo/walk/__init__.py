"""The demo's walk-through: what is sent, what comes back, what it should have been, and why."""
