"""Use cases of the trigger layer; every face calls these. Knows ports, never a concrete store."""
