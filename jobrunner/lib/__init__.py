"""A closed list of small tools: clock, ids, backoff, database, logging. Imports nothing of ours."""
