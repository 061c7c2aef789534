"""What all suites share: measuring one command, pairing runs, and saying what came of it."""
