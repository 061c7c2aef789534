"""The command ``jobrunner``: commands are imported when they are called, from the table."""

from __future__ import annotations

import click

from jobrunner.cli.base import Group
from jobrunner.cli.table import COMMANDS, front_page


class Root(Group):
    """The table of commands; what is not in it may be a plug-in's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return load(COMMANDS[cmd_name][0])
        if cmd_name.startswith("-"):
            return None
        target = plugin_command(cmd_name)
        return None if target is None else load(target)

    def get_help(self, ctx: click.Context) -> str:
        return front_page().rstrip("\n")


def load(target: str) -> click.Command:
    """The click command at ``module:attribute``."""
    from importlib import import_module

    module, _, attribute = target.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command), target
    return command


def plugin_command(name: str) -> str | None:
    """Where an installed plug-in has this command. Scanning is slow: only for unknown ones."""
    from importlib.metadata import entry_points

    from jobrunner.plugins import ENTRY_POINT_GROUP, Plugin

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        plugin = entry.load()
        if isinstance(plugin, Plugin) and name in plugin.commands:
            return plugin.commands[name]
    return None


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from jobrunner import __version__

        click.echo(f"jobrunner {__version__}")
        ctx.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
def root() -> None:
    """Runs Cloud Run-style jobs on machines you own."""
