"""Google's v1 keys that v2 has fields for."""

from __future__ import annotations

from jobrunner.api.v1.keys import RUN

ACCELERATOR = RUN + "accelerator"
BASE_IMAGES = RUN + "base-images"
CLOUD_SQL = RUN + "cloudsql-instances"
