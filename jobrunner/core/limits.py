"""How much and how many the contract allows."""

from __future__ import annotations

MAX_TASKS = 10_000
MAX_RETRIES = 10
MIN_TIMEOUT = 1
MAX_TIMEOUT = 168 * 3600
MAX_CONTAINERS = 10
MAX_ENV = 1000
MAX_ARGS = 1000
MAX_ENV_NAME = 32_768
"""Characters."""
MAX_ENV_VALUE = 32_768
"""Bytes."""
MAX_LABELS = 64
MAX_LABEL = 63
MAX_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values of one resource together."""
MAX_PARALLELISM = 2**31 - 1

DEFAULT_TASKS = 1
DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT = 600.0
DEFAULT_CPU = "1000m"
DEFAULT_MEMORY = "512Mi"
