"""The figures of the README: `make bench`."""
