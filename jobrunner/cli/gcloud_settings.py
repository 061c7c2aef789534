"""The settings under which gcloud speaks to a server of ours, and to nothing else. Pure.

gcloud puts the region in front of the host name of its endpoint for Cloud Run, and such a name
resolves nowhere on most machines. So the server is named as gcloud's proxy: every request arrives
there in absolute form, whatever its host, and nothing (no token either) reaches Google by mistake.
An ``https`` server cannot be such a proxy: its name has to resolve with a region in front.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobrunner.client.finding import Endpoint
from jobrunner.errors import Refused

RUN_HOST = "run.localhost"
OTHER_HOST = "localhost"
PUBSUB_HOST = "pubsub.localhost"
"""Host names that the proxy answers for; nobody resolves them. What is meant for the last one is
passed on to the Pub/Sub emulator of the server."""

OTHER_APIS = (
    "APPENGINE", "ARTIFACTREGISTRY", "CLOUDBUILD", "CLOUDRESOURCEMANAGER", "CLOUDSCHEDULER",
    "CLOUDTASKS", "COMPUTE", "EVENTARC", "EVENTARCPUBLISHING", "IAM", "IAMCREDENTIALS", "LOGGING",
    "MONITORING", "PUBSUB", "SECRETMANAGER", "SERVICEUSAGE", "SQL", "STORAGE",
)  # fmt: skip
"""APIs besides Cloud Run that its commands ask, or that the server answers or will answer. One that
it does not know gets a 404 at once; without an override gcloud would retry for half a minute."""

KEPT_PREFIXES = ("CLOUDSDK_PYTHON", "CLOUDSDK_ROOT_DIR", "CLOUDSDK_INTERNAL")
KEPT_NAMES = frozenset(
    {"CLOUDSDK_CORE_DISABLE_PROMPTS", "CLOUDSDK_CORE_VERBOSITY", "CLOUDSDK_CORE_LOG_HTTP"}
)
"""What stays of the user's own variables: how gcloud is started, and how much it says."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server answers, and what goes with it."""

    server: Endpoint
    config_dir: str
    token_file: str | None
    project: str
    region: str
    ca_file: str | None = None


def gcloud_settings(place: Place) -> dict[str, str]:
    """Variables for gcloud's environment. Raises Refused for a server that gcloud cannot be pointed
    at."""
    host, port = place.server.host, place.server.port
    found = {
        "CLOUDSDK_CONFIG": place.config_dir,
        "CLOUDSDK_CORE_PROJECT": place.project,
        "CLOUDSDK_RUN_REGION": place.region,
        "CLOUDSDK_EVENTARC_LOCATION": place.region,
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API": "false",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
    }
    if place.token_file is None:
        found["CLOUDSDK_AUTH_DISABLE_CREDENTIALS"] = "true"
    else:
        found["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"] = place.token_file
    if place.server.scheme == "http":
        found["CLOUDSDK_PROXY_TYPE"] = "http"
        found["CLOUDSDK_PROXY_ADDRESS"] = host
        found["CLOUDSDK_PROXY_PORT"] = str(port)
        run, other = f"http://{RUN_HOST}:{port}/", f"http://{OTHER_HOST}:{port}/"
    else:
        _check_name(host, place)
        run = other = f"https://{host}:{port}/"
        if place.ca_file is not None:
            # The second wins over the first where somebody has set it for other programs.
            found["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"] = place.ca_file
            found["REQUESTS_CA_BUNDLE"] = place.ca_file
    found["CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"] = run
    for api in OTHER_APIS:
        found[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}"] = other
    if place.server.scheme == "http":
        found["CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB"] = f"http://{PUBSUB_HOST}:{port}/"
    return found


def _check_name(host: str, place: Place) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            return
    raise Refused(
        f"gcloud cannot speak TLS to {place.server.url}: it asks {place.region}-HOST, and '{host}' "
        "cannot have a region in front.",
        hint="Give the server a name in JOBRUNNER_ENDPOINT; see docs/howto/use-gcloud.md.",
    )


def foreign(env: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    """The user's own gcloud variables, which would have a say in what gcloud does here."""
    return sorted(
        name
        for name in env
        if name.startswith("CLOUDSDK_")
        and name not in settings
        and name not in KEPT_NAMES
        and not name.startswith(KEPT_PREFIXES)
    )


def environment(env: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of gcloud. Our own token is not for it."""
    gone = {*foreign(env, settings), "JOBRUNNER_TOKEN"}
    return {**{name: value for name, value in env.items() if name not in gone}, **settings}


def shell_lines(settings: Mapping[str, str], unset: Iterable[str]) -> str:
    """For ``eval "$(…)"``."""
    lines = [f"unset {name}" for name in unset]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def github_lines(settings: Mapping[str, str]) -> str:
    """For ``>> "$GITHUB_ENV"``."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def json_text(settings: Mapping[str, str]) -> str:
    return json.dumps(settings, indent=2) + "\n"
