"""Rules about environment variables and words of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.limits import MAX_ARGS, MAX_ENV, MAX_ENV_VALUE
from jobrunner.core.names import (
    env_name_problem,
    is_reserved_env,
    secret_problem,
    secret_version_problem,
)
from jobrunner.core.problems import Problems
from jobrunner.core.spec import EnvVar

NO_TEXT = (
    "holds bytes that are not UTF-8, and what is stored is text; pass them in a file, or encoded"
)


def check_env(problems: Problems, field: str, env: Sequence[EnvVar]) -> None:
    check_env_count(problems, field, len(env))
    reserved = list(dict.fromkeys(v.name for v in env if is_reserved_env(v.name)))
    if reserved:
        problems.add(
            field,
            f"The following reserved env names were provided: {', '.join(reserved)}."
            " These values are automatically set by the system.",
        )
    check_env_duplicates(problems, field, env)
    for place, variable in enumerate(env):
        check_variable(problems, f"{field}[{place}]", variable)


def check_env_count(problems: Problems, field: str, count: int) -> None:
    if count > MAX_ENV:
        problems.add(field, f"{count} variables are too many; allowed: at most {MAX_ENV}")


def check_env_duplicates(problems: Problems, field: str, env: Sequence[EnvVar]) -> None:
    """Of equal literal names the last wins; the name of a secret's variable is unique."""
    seen: dict[str, bool] = {}
    for place, variable in enumerate(env):
        is_secret = variable.secret is not None
        if variable.name in seen and (is_secret or seen[variable.name]):
            problems.add(
                f"{field}[{place}].name",
                f"'{variable.name}' is set twice; a variable that holds a secret is set once",
            )
        seen[variable.name] = is_secret or seen.get(variable.name, False)


def check_variable(problems: Problems, field: str, variable: EnvVar) -> None:
    problems.check(f"{field}.name", env_name_problem(variable.name))
    if variable.secret is not None:
        reference = f"{field}.valueFrom.secretKeyRef"
        if variable.value is not None:
            problems.add(field, f"'{variable.name}' has a value and a secret; give one of them")
        problems.check(f"{reference}.name", secret_problem(variable.secret.secret))
        problems.check(f"{reference}.key", secret_version_problem(variable.secret.version))
    elif variable.value is not None:
        # The value may be private: it is never part of a message.
        size = len(variable.value.encode("utf-8", "surrogatepass"))
        if size > MAX_ENV_VALUE:
            problems.add(
                f"{field}.value", f"it is {size} bytes long; allowed: at most {MAX_ENV_VALUE}"
            )
        if "\0" in variable.value:
            problems.add(f"{field}.value", "it holds a NUL character, which no variable can")
        if not is_text(variable.value):
            problems.add(f"{field}.value", f"it {NO_TEXT}")
    else:
        problems.add(field, f"'{variable.name}' has no value; give value or valueFrom")


def check_words(
    problems: Problems, field: str, words: Sequence[str], *, any_number: bool = False
) -> None:
    """Command or args. ``any_number`` leaves their count to the operating system."""
    if len(words) > MAX_ARGS and not any_number:
        problems.add(field, f"{len(words)} entries are too many; allowed: at most {MAX_ARGS}")
    for place, word in enumerate(words):
        if "\0" in word:
            problems.add(f"{field}[{place}]", "it holds a NUL character, which no argument can")
        if not is_text(word):
            problems.add(f"{field}[{place}]", f"{word[:60]!a} {NO_TEXT}")


def is_text(text: str) -> bool:
    """Whether it can be stored: bytes that are no UTF-8 reach us as lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
