"""The `extauthz` command."""
