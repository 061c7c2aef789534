import pytest

from jobrunner.backends._docker.engine import EngineRefused
from jobrunner.backends._docker.refusals import launch_failed, pull_failed, trimmed

LAYERS = (
    "failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


@pytest.mark.parametrize(
    ("status", "words", "permanent", "reason", "message"),
    [
        (
            400, LAYERS + 'exec: "nope": executable file not found in $PATH: unknown',
            True, "ContainerCommandFailed",
            'The container\'s command could not be started: exec: "nope": executable file not '
            "found in $PATH.",
        ),
        (
            400, LAYERS + 'exec: "/etc": permission denied: unknown',
            True, "ContainerCommandFailed",
            'The container\'s command could not be started: exec: "/etc": permission denied.',
        ),
        (
            400, "No command specified", True, "ContainerCommandFailed",
            "The container's command could not be started: No command specified.",
        ),
        (
            404, "No such image: app:1", True, "ContainerMissing", "Image 'app:1' not found.",
        ),
        (
            404, "network blue not found", True, "ContainerConfigInvalid",
            "The container engine refused the container: network blue not found.",
        ),
        (
            500, "Cannot mkdir: /etc/passwd is not a directory", True, "ContainerConfigInvalid",
            "The container engine refused the container: Cannot mkdir: /etc/passwd is not a "
            "directory.",
        ),
        (
            400, 'invalid mount config for type "bind": bind source path does not exist: /nope',
            True, "ContainerConfigInvalid",
            "The container engine refused the container: invalid mount config for type "
            '"bind": bind source path does not exist: /nope.',
        ),
        (
            500, "mkdir /var/lib/docker/overlay2/x: no space left on device", False,
            "BackendUnavailable",
            "The container engine has no space left: mkdir /var/lib/docker/overlay2/x: no space "
            "left on device.",
        ),
        (
            500, "failed to create endpoint: could not find an available IP", False,
            "BackendUnavailable",
            "The container could not be started: failed to create endpoint: could not find an "
            "available IP.",
        ),
    ],
)  # fmt: skip
def test_a_refused_launch_says_why_and_whether_trying_again_helps(
    status: int, words: str, permanent: bool, reason: str, message: str
) -> None:
    error = launch_failed(EngineRefused(status, words), "app:1")
    assert (error.message, error.permanent, error.reason) == (message, permanent, reason)


@pytest.mark.parametrize(
    ("words", "permanent", "reason"),
    [
        ("manifest for r/app:1 not found: manifest unknown", True, "ContainerMissing"),
        (
            "pull access denied for app, repository does not exist or may require 'docker login'",
            True, "ContainerMissing",
        ),
        ("unauthorized: authentication required", True, "ContainerPermissionDenied"),
        ("Head \"https://r/v2/\": no basic auth credentials", True, "ContainerPermissionDenied"),
        ("error parsing HTTP 403 response: forbidden", True, "ContainerPermissionDenied"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', False, "ContainerImportFailed"),
        (
            "dial tcp 127.0.0.1:5: connect: connection refused", False, "ContainerImportFailed",
        ),
        ("toomanyrequests: You have reached your limit", False, "ContainerImportFailed"),
        ("write /x: no space left on device", False, "ContainerImportFailed"),
        (
            "http: server gave HTTP response to HTTPS client", True, "ContainerImportFailed",
        ),
        (
            "no matching manifest for linux/amd64 in the manifest list entries", True,
            "ContainerImportFailed",
        ),
    ],
)  # fmt: skip
def test_a_failed_pull_says_why_in_the_engines_words(
    words: str, permanent: bool, reason: str
) -> None:
    error = pull_failed("r/app:1", words)
    assert (error.permanent, error.reason) == (permanent, reason)
    assert "'r/app:1'" in error.message
    assert words in error.message


def test_the_layers_of_the_engine_are_left_out_but_never_everything() -> None:
    assert trimmed(LAYERS + "exec: x: unknown") == "exec: x"
    assert trimmed("OCI runtime create failed: ") == "OCI runtime create failed:"
    assert trimmed("plain words") == "plain words"
