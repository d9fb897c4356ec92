"""Generated from `proto/` by `make generate`, and nothing else."""
