"""The async loops: claim, plan, launch, reap, recover. May import core, ports, errors and lib."""
