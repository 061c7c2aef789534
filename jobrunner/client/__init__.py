"""The command line's side of a server: the use cases of :mod:`jobrunner.service`, asked over HTTP.
May import service and below, not api or web; nothing heavy, because commands must start fast."""
