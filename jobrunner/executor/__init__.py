"""The loops that claim, plan, launch, reap and recover; may import ports and what is below."""
