"""Puts the pieces together: the only room that names concrete stores, backends and the executor.

Heavy pieces are imported where they are first needed: a read must start like a command line tool.
"""

from __future__ import annotations

from jobrunner.app.home import App
from jobrunner.app.making import make_backend
from jobrunner.executor.observer import Observer

__all__ = ["App", "Observer", "make_backend"]
