"""jobrunner runs things: jobs, executions, tasks, attempts. It never imports triggers."""

__version__ = "0.1.0"
