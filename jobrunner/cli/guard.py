"""Runs a command so that every ending is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from jobrunner.errors import InvalidSpec, JobrunnerError

INTERRUPTED = 130


def guarded(argv: Sequence[str]) -> int:
    """Runs the command line ``argv``; returns the exit code."""
    from jobrunner.cli.root import root

    try:
        result = root.main(args=list(argv), prog_name="jobrunner", standalone_mode=False)
        flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.")
        return INTERRUPTED
    except click.ClickException as error:
        say(usage_text(error))
        return 2
    except JobrunnerError as error:
        say(error_text(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader has what it wanted (``… | head``); that is no error.
        silence(sys.stdout)
        return 0
    except OSError as error:
        if error.errno is None:
            return crashed(error, argv)
        say(os_text(error))
        return 5
    except Exception as error:
        return crashed(error, argv)


def flush() -> None:
    """Writes out what is buffered while an error can still be handled."""
    sys.stdout.flush()


def silence(stream: object) -> None:
    """Sends what a broken stream still holds to nowhere."""
    fileno = getattr(stream, "fileno", None)
    if fileno is None:
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, fileno())
    finally:
        os.close(null)


def say(text: str) -> None:
    """Talk goes to standard error; nobody there to hear it, or no room for it, is no error."""
    try:
        sys.stderr.write(text.rstrip("\n") + "\n")
        sys.stderr.flush()
    except ValueError:
        pass
    except OSError:
        silence(sys.stderr)


def os_text(error: OSError) -> str:
    """What the system refused, and of which file."""
    if error.filename:
        return f"Error: {error.strerror}: {error.filename}"
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except FileNotFoundError:
            return (
                "Error: The directory that this command was started in does not exist any more.\n"
                "Hint: Change to another one (cd)."
            )
    return f"Error: {error.strerror}"


def error_text(error: JobrunnerError) -> str:
    if isinstance(error, InvalidSpec) and len(error.violations) > 1:
        lines = "\n".join(f"  {violation}" for violation in error.violations)
        text = f"Error: {len(error.violations)} fields are not valid:\n{lines}"
    else:
        text = f"Error: {error.message}"
    return f"{text}\nHint: {error.hint}" if error.hint else text


def usage_text(error: click.ClickException) -> str:
    """The error of a command line that cannot be understood, and where its help is."""
    message, hint = _usage_parts(error)
    if hint is None and isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"See: {error.ctx.command_path} --help"
    return f"Error: {message}\nHint: {hint}" if hint else f"Error: {message}"


def _usage_parts(error: click.ClickException) -> tuple[str, str | None]:
    if isinstance(error, click.NoSuchOption):
        known = _option_names(error.ctx)
        return f"There is no option '{error.option_name}' here.", _guess(error.option_name, known)
    if isinstance(error, click.MissingParameter):
        return f"{_param(error)} is required.", None
    if isinstance(error, click.BadParameter):
        return f"{_param(error)}: {error.message}", None
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name}: {_shorter(error.message)}", None
    hint = getattr(error, "hint", None)
    return error.format_message(), hint


def _shorter(message: str) -> str:
    # click says "Option '--tasks' requires an argument." for what we have named already.
    if message.endswith("requires an argument."):
        return "it needs a value"
    return "it takes no value" if message.endswith("does not take a value.") else message


def _param(error: click.BadParameter) -> str:
    if isinstance(error.param_hint, str):
        return error.param_hint.strip("'")
    param = error.param
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    if param is not None:
        return param.make_metavar(ctx=error.ctx or click.Context(click.Command(None))).strip("[].")
    return "argument"


def _option_names(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    return [name for param in ctx.command.get_params(ctx) for name in param.opts]


def _guess(name: str, known: Sequence[str]) -> str | None:
    from jobrunner.core.nearest import nearest

    guess = nearest(name, known)
    return f"Did you mean '{guess}'?" if guess else None


def crashed(error: BaseException, argv: Sequence[str]) -> int:
    """A bug of ours: one sentence for the user, everything else into a file."""
    try:
        path = write_crash(error, argv)
        where = f" The details are in {path}."
    except OSError:
        where = ""
    say(f"Error: jobrunner failed unexpectedly ({type(error).__name__}).{where}")
    return 5


def home_in(argv: Sequence[str]) -> dict[str, str]:
    """What ``--home`` says, as the variable that it stands for; nothing if it is not given."""
    ours = list(argv[: list(argv).index("--")] if "--" in argv else argv)
    found = ""
    for place, word in enumerate(ours):
        name, equals, value = word.partition("=")
        if name == "--home":
            found = value if equals else "".join(ours[place + 1 : place + 2])
    return {"JOBRUNNER_HOME": found} if found else {}


def write_crash(error: BaseException, argv: Sequence[str]) -> str:
    """Writes the traceback to a private file under ``crash`` of the home and returns its path.

    Only the words that name the command are written: values of options may be secrets.
    """
    import platform
    import time
    import traceback

    from jobrunner import __version__
    from jobrunner.settings import from_environment

    folder = os.path.join(from_environment({**os.environ, **home_in(argv)}).home, "crash")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = os.path.join(folder, f"{stamp}-{os.getpid()}.txt")
    words: list[str] = []
    for word in argv[:2]:
        if not word.isalpha():
            break
        words.append(word)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"jobrunner {__version__}, Python {platform.python_version()}\n")
        file.write(f"command: jobrunner {' '.join(words)}\n\n")
        file.writelines(traceback.format_exception(error))
    return path
