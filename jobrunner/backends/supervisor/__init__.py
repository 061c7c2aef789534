"""The small process that starts, watches and buries plain processes, and outlives its runner.

It imports the standard library and ``jobrunner.lib`` only, everything at start. A runner uses
:mod:`.start` to bring one up, :mod:`.place` to find and reach one, :mod:`.remains` to read what a
dead one left. Why it exists: ``docs/adr/0020-supervisor.md``.
"""
