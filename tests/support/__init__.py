"""What several tiers of tests share: what this machine has, and fixtures over it."""
