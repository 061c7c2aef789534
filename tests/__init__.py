"""The tests of this house, in tiers: one directory is one tier and one pytest marker."""
