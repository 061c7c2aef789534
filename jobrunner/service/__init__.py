"""The use cases, one transaction each, called by every face; may import ports and what is below."""
