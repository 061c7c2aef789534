"""The command line: parse, call, print. May import everything below, nothing heavy at start."""
