"""From files and environment to values: policy file, process settings, and the proxy configuration made of them."""
