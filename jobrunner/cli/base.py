"""What every command shares: where state lives, the global options, and names that nearly fit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from typing import TypeAlias

    from jobrunner.app import App
    from jobrunner.client.remote import Remote
    from jobrunner.core.records import Execution, Scope
    from jobrunner.settings import Settings

    Opened: TypeAlias = App | Remote
    """A home: opened by this command line, or through its server."""


class UsageProblem(click.UsageError):
    """A command line that cannot be understood, with a hint of its own."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class State:
    """What the global options said; they win over the environment, ``env``."""

    project: str | None = None
    region: str | None = None
    home: str | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def settings(self) -> Settings:
        from jobrunner.settings import from_environment

        env = dict(self.env)
        if self.home is not None:
            env["JOBRUNNER_HOME"] = self.home
        settings = from_environment(env)
        return replace(
            settings,
            project=self.project or settings.project,
            region=self.region or settings.region,
        )

    def scope(self) -> Scope:
        from jobrunner.core.records import Scope

        settings = self.settings()
        return Scope(settings.project, settings.region)

    def now(self) -> float:
        """What time it is for what is planned in this home."""
        home = self.settings().home
        if not os.path.exists(os.path.join(home, "clock.json")):
            return time.time()
        from jobrunner.service.standing import clock_of

        return clock_of(home).now()

    @contextmanager
    def app(self) -> Iterator[App]:
        """The program over the store of this home, whether a server runs or not."""
        from jobrunner.app import App

        with App.open(self.settings()) as app:
            yield app

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """The home through its server, or, without one, the program over its store."""
        settings = self.settings()
        if not may_have_server(settings.home, self.env):
            with self.app() as app:
                yield app
            return
        from jobrunner.client.finding import finder

        find = finder(self.env, settings.home)
        if find() is None:
            with self.app() as app:
                yield app
            return
        from jobrunner.client.remote import Remote

        with Remote(settings, find) as remote:
            yield remote

    @contextmanager
    def opened_for(self, name: str) -> Iterator[tuple[Opened, Execution]]:
        """As :meth:`opened`, with an execution that is to be driven or stopped: what a 'jobrunner
        run' has opened is driven by command lines and never by a server."""
        with self.opened() as home:
            execution = home.service.executions.get(self.scope(), name)
            if not (home.through_server and execution.hidden):
                yield home, execution
                return
        if self.env.get("JOBRUNNER_ENDPOINT"):
            from jobrunner.errors import Refused

            raise Refused(
                f"Execution '{name}' belongs to a 'jobrunner run' on the machine of the server.",
                hint="Do it there, without JOBRUNNER_ENDPOINT.",
            )
        with self.app() as app:
            yield app, app.service.executions.get(self.scope(), name)


def may_have_server(home: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether it is worth asking: a command line without a server must not pay for looking."""
    return bool(env.get("JOBRUNNER_ENDPOINT")) or os.path.exists(os.path.join(home, "server.json"))


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    if not value:
        raise click.BadParameter("the value is empty", ctx=ctx, param=param)
    setattr(ctx.ensure_object(State), str(param.name), value)


def global_options() -> list[click.Parameter]:
    """``--project``, ``--region``, ``--home``: shown by the front page, known to every command."""
    return [
        click.Option(
            [f"--{name}"],
            metavar=metavar,
            expose_value=False,
            callback=_remember,
            hidden=True,
        )
        for name, metavar in (("project", "NAME"), ("region", "NAME"), ("home", "DIR"))
    ]


LONGEST_SUMMARY = 300


class Cmd(click.Command):
    """A command that also takes the global options, and shows its examples under its options."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(global_options())

    def get_short_help_str(self, limit: int = 45) -> str:
        """In the list of its group: all of its first sentence, over several lines if need be."""
        return super().get_short_help_str(LONGEST_SUMMARY)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        formatter.write("\nGlobal options (--project, --region, --home): jobrunner --help\n")


class Group(click.Group):
    """A group whose unknown command is answered with the nearest one."""

    command_class = Cmd

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("no_args_is_help", False)
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())

    def get_short_help_str(self, limit: int = 45) -> str:
        """As that of a command."""
        return super().get_short_help_str(LONGEST_SUMMARY)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            if name.startswith("-"):
                raise click.NoSuchOption(name, ctx=ctx)
            raise self.unknown(ctx, name)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            names = ", ".join(self.list_commands(ctx))
            raise UsageProblem(f"'{ctx.command_path}' needs a command: {names}.")
        return super().parse_args(ctx, args)

    def unknown(self, ctx: click.Context, name: str) -> UsageProblem:
        from jobrunner.core.nearest import nearest

        names = self.list_commands(ctx)
        guess = nearest(name, names)
        hint = (
            f"Did you mean '{ctx.command_path} {guess}'?"
            if guess
            else f"See: {ctx.command_path} --help"
        )
        return UsageProblem(f"There is no command '{ctx.command_path} {name}'.", hint=hint)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


Decorator = Callable[[Any], Any]


def with_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Calls a command with the :class:`State` of this command line first."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(click.get_current_context().ensure_object(State), *args, **kwargs)

    return call


def format_option(*choices: str) -> Decorator:
    """``--format``; the first of ``choices`` is the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="How to print.",
    )


read_format = format_option("table", "json", "yaml")
