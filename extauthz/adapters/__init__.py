"""Shells around the service: transports, stores, HTTP, telemetry. Each knows one third-party family and no rule."""
