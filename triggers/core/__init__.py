"""The pure rules of what makes things run: no I/O, no clock, and randomness only as a number that
is handed in. It may import triggers.errors, jobrunner.core, jobrunner.errors and cronsim; the zone
rules in :mod:`triggers.core.zones` are the one thing that is read from the machine, as data.
"""
