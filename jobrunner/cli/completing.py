"""Answers the shell: what may come next. Imports only what an answer needs, and never click.

The words come from :mod:`jobrunner.cli.completion_words`, which is generated from the commands
themselves; names of jobs and executions are read from the database.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GLOBAL = ("--project", "--region", "--home")
HELP = ("-h", "--help")
NAMES_LIMIT = 500


def answer(argv: "Sequence[str]") -> int:
    """Prints one candidate per line for the words typed so far, the last of which is unfinished."""
    words = list(argv)
    try:
        for candidate in candidates(words, os.environ):
            sys.stdout.write(candidate + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    return 0


def candidates(words: "Sequence[str]", env: "Mapping[str, str]") -> list[str]:
    """What fits the last of ``words``. Nothing where only the shell knows (files)."""
    from jobrunner.cli.completion_words import ARGUMENTS, COMMANDS, OPTIONS

    current = words[-1] if words else ""
    before = list(words[:-1])
    if "--" in before:
        return []
    chosen: dict[str, str] = {}
    path = ""
    awaiting = ""
    for word in before:
        if awaiting:
            chosen[awaiting] = word
            awaiting = ""
        elif word.startswith("-"):
            name, equals, value = word.partition("=")
            kind = _kind(OPTIONS, path, name)
            if equals:
                chosen[name] = value
            elif kind:
                awaiting = name
        elif path in COMMANDS and word in COMMANDS[path]:
            path = f"{path} {word}".strip()
        elif path in COMMANDS:
            return []
    if awaiting:
        return _values(_kind(OPTIONS, path, awaiting), current, chosen, env)
    if current.startswith("-"):
        name, equals, value = current.partition("=")
        if equals:
            kind = _kind(OPTIONS, path, name)
            return [f"{name}={found}" for found in _values(kind, value, chosen, env)]
        names = [*OPTIONS.get(path, {}), *GLOBAL, *HELP]
        return _fitting(names, current)
    if path in COMMANDS:
        return _fitting(COMMANDS[path], current)
    return _values(ARGUMENTS.get(path, ""), current, chosen, env)


def _kind(options: "Mapping[str, Mapping[str, str]]", path: str, name: str) -> str:
    """What an option takes: nothing (a switch), ``*`` (anything), ``@job``, ``a|b|c``, …"""
    if name in GLOBAL:
        return "*"
    return options.get(path, {}).get(name, "")


def _values(
    kind: str, current: str, chosen: "Mapping[str, str]", env: "Mapping[str, str]"
) -> list[str]:
    if kind in ("@job", "@execution"):
        return stored_names(kind[1:], current, chosen, env)
    if kind in ("", "*"):
        return []
    return _fitting(kind.split("|"), current)


def _fitting(names: "Sequence[str]", current: str) -> list[str]:
    return [name for name in names if name.startswith(current)]


def stored_names(
    kind: str, current: str, chosen: "Mapping[str, str]", env: "Mapping[str, str]"
) -> list[str]:
    """Names of jobs or executions of this project and region, newest first. Nothing where there is
    no SQLite database: a completion must not make one, and must not wait for a server."""
    home = chosen.get("--home") or env.get("JOBRUNNER_HOME")
    if not home:
        data = env.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local/share")
        home = os.path.join(data, "jobrunner")
    url = env.get("JOBRUNNER_DATABASE_URL") or f"sqlite:///{os.path.abspath(home)}/jobrunner.db"
    if not url.startswith("sqlite:///"):
        return []
    path = url.removeprefix("sqlite:///")
    if not os.path.exists(path):
        return []
    import sqlite3
    from urllib.parse import quote

    table = {"job": "jobs", "execution": "executions"}[kind]
    visible = "AND hidden = 0 " if kind == "job" else ""
    scope = (
        chosen.get("--project") or env.get("JOBRUNNER_PROJECT") or "local",
        chosen.get("--region") or env.get("JOBRUNNER_REGION") or "us-central1",
    )
    pattern = current.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=0.2)
        try:
            rows = connection.execute(
                f"SELECT name FROM {table} WHERE project = ? AND region = ? {visible}"
                "AND name LIKE ? ESCAPE '\\' ORDER BY created_at DESC LIMIT ?",
                (*scope, pattern, NAMES_LIMIT),
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []
    return [row[0] for row in rows]
