"""``/jobrunner/v1/schedules``: schedules with everything that is ours. An API of our own."""
