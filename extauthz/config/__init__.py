"""From files and environment to values: the policy file, process settings, and the proxy configuration made from them."""
