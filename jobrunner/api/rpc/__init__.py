"""Our own command line's calls: the operations of :mod:`jobrunner.service.calls` as methods."""

from jobrunner.api.rpc.methods import methods

__all__ = ["methods"]
