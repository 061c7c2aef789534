"""What things may be called. Each check returns what is wrong as a sentence, or ``None``."""

from __future__ import annotations

import re

from jobrunner.core.limits import MAX_ENV_NAME, MAX_LABEL

INJECTED_ENV = (
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "CLOUD_RUN_TASK_INDEX",
    "CLOUD_RUN_TASK_ATTEMPT",
    "CLOUD_RUN_TASK_COUNT",
)
RESERVED_ENV_PREFIX = "X_GOOGLE_"
CLOUD_SQL_VOLUME = "cloudsql"

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_PREFIX = rf"{_LABEL}(\.{_LABEL})*"


def job_name_problem(name: str) -> str | None:
    if re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        return None
    return (
        f"'{name}' is not a job name; allowed: 1 to 63 lower-case letters, digits and hyphens,"
        " beginning with a letter and not ending with a hyphen"
    )


def token_problem(job: str, token: str) -> str | None:
    """A start or run token: ``{job}-{token}`` becomes the name of an execution."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", token):
        return (
            f"'{token}' is not a token; allowed: lower-case letters, digits and hyphens, beginning"
            " and ending with a letter or digit"
        )
    if len(job) + len(token) >= MAX_LABEL:
        return (
            f"the name of the job and the token have {len(job) + len(token)} characters together;"
            f" allowed: fewer than {MAX_LABEL}"
        )
    return None


def container_name_problem(name: str) -> str | None:
    if re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", name):
        return None
    return (
        f"'{name}' is not a container name; allowed: 1 to 63 lower-case letters, digits, hyphens"
        " and dots, beginning and ending with a letter or digit"
    )


def volume_name_problem(name: str) -> str | None:
    """More than the label of the contract: gcloud names the volume of a secret after the secret,
    which may have 255 characters, and appends three words."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,300}", name):
        return None
    return (
        f"'{name}' is not a volume name; allowed: 1 to 300 letters, digits, hyphens and underscores"
    )


def env_name_problem(name: str) -> str | None:
    """Reserved names are another rule: see :func:`is_reserved_env`."""
    if not name:
        return "the name is empty; every variable needs a name"
    if "=" in name or "\0" in name:
        return f"{name!r} is not a variable name; it must not hold '=' or a NUL character"
    if len(name) > MAX_ENV_NAME:
        return f"the name is {len(name)} characters long; allowed: at most {MAX_ENV_NAME}"
    return None


def is_reserved_env(name: str) -> bool:
    return name in INJECTED_ENV or name.startswith(RESERVED_ENV_PREFIX)


def secret_problem(secret: str) -> str | None:
    """A secret's id, an alias, or ``projects/P/secrets/S``."""
    if re.fullmatch(r"(projects/[a-z0-9.:-]{1,63}/secrets/)?[A-Za-z0-9_-]{1,255}", secret):
        return None
    return (
        f"'{secret}' is not a secret; allowed: 1 to 255 letters, digits, hyphens and underscores,"
        " or projects/PROJECT/secrets/NAME"
    )


def secret_version_problem(version: str) -> str | None:
    if version == "latest" or re.fullmatch(r"[1-9][0-9]{0,18}", version):
        return None
    return f"'{version}' is not a version of a secret; allowed: latest or a number from 1"


def label_key_problem(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash:
        return _qualified_problem(key, prefix, name, "label key")
    if _is_label_text(key) and key[:1].isalpha() and len(key) <= MAX_LABEL:
        return None
    return (
        f"'{key}' is not a label key; allowed: 1 to {MAX_LABEL} lower-case letters, digits,"
        " hyphens and underscores, beginning with a letter"
    )


def label_value_problem(key: str, value: str) -> str | None:
    if len(value) <= MAX_LABEL:
        if _is_label_text(value):
            return None
        if "/" in key and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", value):
            return None
    return (
        f"'{value}' is not a label value; allowed: at most {MAX_LABEL} lower-case letters, digits,"
        " hyphens and underscores"
    )


def annotation_key_problem(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash:
        return _qualified_problem(key, prefix, name, "annotation key")
    if _is_qualified_name(name):
        return None
    return _qualified_text(key, "annotation key")


def image_problem(image: str) -> str | None:
    """An image reference: ``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``."""
    if len(image) <= 4096 and re.fullmatch(
        r"([A-Za-z0-9.-]+(:[0-9]{1,5})?/)?"
        r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}",
        image,
    ):
        return None
    return (
        f"'{image}' is not an image; write it as NAME, NAME:TAG, HOST/PATH/NAME:TAG or"
        " NAME@sha256:DIGEST, with a lower-case name"
    )


def default_container_name(image: str | None, command: tuple[str, ...], number: int) -> str:
    """The name of an unnamed container: the last part of its image, or of its command, and its
    number, which counts from 1."""
    if image:
        last = re.sub(r"@.*|:[^/]*$", "", image).rsplit("/", 1)[-1]
    else:
        last = command[0].rsplit("/", 1)[-1] if command else ""
    clean = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:50].strip("-")
    return f"{clean or 'main'}-{number}"


def execution_name(job: str, token: str) -> str:
    return f"{job}-{token}"


def task_name(execution: str, index: int) -> str:
    return f"{execution}-task{index}"


def _is_label_text(text: str) -> bool:
    return all(c in "-_" or (c.isalnum() and c == c.lower()) for c in text)


def _is_qualified_name(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name))


def _qualified_problem(key: str, prefix: str, name: str, kind: str) -> str | None:
    fits = len(prefix) <= 253 and re.fullmatch(_DNS_PREFIX, prefix) and _is_qualified_name(name)
    return None if fits else _qualified_text(key, kind)


def _qualified_text(key: str, kind: str) -> str:
    return (
        f"'{key}' is not an {kind}; " if kind[0] in "aeiou" else f"'{key}' is not a {kind}; "
    ) + (
        "allowed: NAME or DOMAIN/NAME, where NAME is 1 to 63 letters, digits, hyphens, underscores"
        " and dots, beginning and ending with a letter or digit"
    )
