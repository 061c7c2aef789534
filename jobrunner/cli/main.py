"""The entry point. What needs no command is answered before anything is imported."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: "Sequence[str] | None" = None) -> int:
    """Runs one command line (``sys.argv`` by default) and returns its exit code."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _fill_closed_streams()
    argv = sys.argv[1:] if args is None else list(args)
    if argv[:1] == ["__complete"]:
        from jobrunner.cli.completing import answer

        return answer(argv[1:])
    page = _front(argv)
    if page is not None:
        try:
            sys.stdout.write(page)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
        except OSError as error:
            from jobrunner.cli.guard import say

            _forget_stdout()
            say(f"Error: {error.strerror}")
            return 5
        return 0
    from jobrunner.cli.guard import guarded

    return guarded(argv)


def _front(argv: "Sequence[str]") -> str | None:
    """The text for a command line that only asks for the front page or the version."""
    if list(argv) in ([], ["--help"], ["-h"], ["help"]):
        from jobrunner.cli.table import front_page

        return front_page()
    if list(argv) == ["--version"]:
        from jobrunner import __version__

        return f"jobrunner {__version__}\n"
    return None


def _fill_closed_streams() -> None:
    """Puts the null device where the caller closed a standard stream (``>&-``). Otherwise a file
    that is opened later, such as the database, would get its number and whatever is printed."""
    import os

    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _forget_stdout() -> None:
    """Keeps the interpreter from complaining at exit about what could not be written."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
