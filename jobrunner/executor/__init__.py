"""The loops that claim, plan, launch, reap and recover. May import ports and below."""
