"""Environment variables from flags and files, merged as gcloud does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from jobrunner.cli import values
from jobrunner.core.spec import EnvVar, SecretRef


@dataclass(frozen=True, slots=True)
class EnvChange:
    """``replace`` drops the literal variables that are there first. ``secrets`` maps a name to
    (secret, version)."""

    replace: bool = False
    literals: tuple[tuple[str, str], ...] = ()
    remove: frozenset[str] = frozenset()
    replace_secrets: bool = False
    secrets: tuple[tuple[str, tuple[str, str]], ...] = ()
    remove_secrets: frozenset[str] = frozenset()


def change_env(env: Iterable[EnvVar], change: EnvChange) -> tuple[EnvVar, ...]:
    """The variables after a change; a name that is set again keeps its place."""
    kept: dict[str, EnvVar] = {}
    for var in env:
        is_secret = var.secret is not None
        if is_secret and (change.replace_secrets or var.name in change.remove_secrets):
            continue
        if not is_secret and (change.replace or var.name in change.remove):
            continue
        kept[var.name] = var
    for name, value in change.literals:
        kept[name] = EnvVar(name, value=value)
    for name, (secret, version) in change.secrets:
        kept[name] = EnvVar(name, secret=SecretRef(secret, version))
    return tuple(kept.values())


def literal_flags(
    *,
    set_env_vars: Sequence[str],
    env_vars_file: str | None,
    update_env_vars: Sequence[str] = (),
    remove_env_vars: Sequence[str] = (),
    clear_env_vars: bool = False,
) -> tuple[bool, dict[str, str], frozenset[str]]:
    """(replace, literals, remove) of the flags. Raises a usage error for a bad value or for flags
    that exclude each other."""
    ways = [
        name
        for name, given in (
            ("--set-env-vars", bool(set_env_vars)),
            ("--env-vars-file", env_vars_file is not None),
            ("--clear-env-vars", clear_env_vars),
            ("--update-env-vars or --remove-env-vars", bool(update_env_vars or remove_env_vars)),
        )
        if given
    ]
    if len(ways) > 1:
        raise click.UsageError(f"{ways[0]} and {ways[1]} exclude each other.")
    if set_env_vars:
        return True, dict_flag("--set-env-vars", set_env_vars), frozenset()
    if env_vars_file is not None:
        return True, read_env_file(env_vars_file), frozenset()
    return (
        clear_env_vars,
        dict_flag("--update-env-vars", update_env_vars),
        frozenset(list_flag("--remove-env-vars", remove_env_vars)),
    )


def dict_flag(flag: str, texts: Sequence[str]) -> dict[str, str]:
    try:
        return values.merge_dicts(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None


def list_flag(flag: str, texts: Sequence[str]) -> list[str]:
    try:
        return values.merge_lists(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None


def read_env_file(path: str) -> dict[str, str]:
    """``--env-vars-file``: YAML (``NAME: "value"``), or ``NAME=value`` lines in a ``*.env``."""

    def wrong(message: str) -> click.BadParameter:
        return click.BadParameter(f"'{path}': {message}", param_hint="--env-vars-file")

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise wrong(error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise wrong("is not UTF-8 text") from None
    if path.endswith(".env"):
        return _dotenv(text, wrong)
    import yaml

    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise wrong(f"is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise wrong("is not a YAML mapping of names to values")
    for name, value in document.items():
        if not isinstance(value, str) or not isinstance(name, str):
            raise wrong(f"{name}: {value!r} is not text; write it in quotes")
    return dict(document)


def _dotenv(text: str, wrong: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            raise wrong(f"line {number}: '{line}' is not NAME=value")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found
