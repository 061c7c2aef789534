"""The command line (parse, call client or service, print); may import everything, and nothing heavy at start."""
