"""The revocation list of this process, in sync with other replicas."""
