"""The use cases, one transaction each, called by every face. May import ports and below."""
