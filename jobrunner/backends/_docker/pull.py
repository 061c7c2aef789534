"""Fetching an image, through the SDK: it knows the user's registry log-ins and their helpers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from jobrunner.backends._docker.reference import Reference
from jobrunner.backends._docker.refusals import pull_failed
from jobrunner.ports import Progress

SAY_EVERY = 1.0
"""Seconds between lines of progress."""


class Tally:
    """Counts layers and bytes of a pull from the engine's own events."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, bool] = {}
        self._bytes: dict[str, tuple[int, int]] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        layer, status = event.get("id"), str(event.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return
        done = status in ("Pull complete", "Already exists")
        self._layers[layer] = self._layers.get(layer, False) or done
        detail = event.get("progressDetail") or {}
        if status == "Downloading" and "current" in detail:
            self._bytes[layer] = (int(detail["current"]), int(detail.get("total") or 0))
        elif status in ("Download complete", "Pull complete") and layer in self._bytes:
            total = self._bytes[layer][1] or self._bytes[layer][0]
            self._bytes[layer] = (total, total)

    def line(self) -> str:
        done = sum(self._layers.values())
        text = f"Pulling {self._image}: {done} of {len(self._layers)} layers"
        current = sum(here for here, _ in self._bytes.values())
        total = sum(max(here, there) for here, there in self._bytes.values())
        return f"{text}, {current / 1e6:.1f} of {total / 1e6:.1f} MB" if total else text


def pull(
    url: str,
    version: str,
    image: str,
    reference: Reference,
    say: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Blocks until the image is there. ``url`` is the engine's, ``version`` of its API.
    ``stopped`` is asked now and then. Raises LaunchFailed."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    tally, said_at = Tally(image), 0.0
    try:
        client = docker.APIClient(base_url=url, version=version, timeout=120)
    except DockerException as error:
        raise pull_failed(image, str(error)) from None
    try:
        say(f"Pulling {image}")
        events = client.pull(
            reference.repository,
            tag=reference.digest or reference.tag,
            stream=True,
            decode=True,
        )
        for event in events:
            if stopped():
                return
            if "error" in event:
                raise pull_failed(image, str(event["error"]))
            tally.take(event)
            if time.monotonic() - said_at >= SAY_EVERY:
                said_at = time.monotonic()
                say(tally.line())
    except DockerException as error:
        words = getattr(error, "explanation", None) or str(error)
        raise pull_failed(image, str(words)) from None
    except (RequestException, OSError) as error:
        raise pull_failed(image, f"connection reset: {error}") from None
    finally:
        client.close()
