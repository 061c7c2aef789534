"""jobrunner runs things: jobs, executions, tasks and attempts; it may never import triggers."""

__version__ = "0.1.0"
