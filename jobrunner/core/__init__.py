"""The pure rules: models, states, planner, policy, validation. May import errors only; no I/O."""
