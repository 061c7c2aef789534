"""``jobrunner up``: a file that is served, applied again when it changes, and told about."""
