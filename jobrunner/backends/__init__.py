"""Where attempts run, one file each, strangers to one another. May import ports and below."""
