"""What several tiers of tests share: the real components of this machine, and fixtures over them."""
