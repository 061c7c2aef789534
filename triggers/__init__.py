"""triggers makes things run (schedules, messages, events); may import jobrunner's service, client, ports, plugins, core, errors and lib."""
