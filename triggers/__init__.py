"""triggers makes things run: schedules, messages and events become deliveries to targets.

It may import jobrunner's service, client, ports, plugins, core, errors and lib, nothing else of it.
"""
