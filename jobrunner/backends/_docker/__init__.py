"""Parts of the docker backend, one idea each; ``jobrunner.backends.docker`` is their face."""
