"""Where attempts run, one file each, strangers to one another; may import ports and what is below."""
