"""``jobrunner run``: a one-off fan-out, driven here and now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import Cmd, State, UsageProblem, format_option, with_state
from jobrunner.cli.naming import flags_named
from jobrunner.cli.own import annotations_of, own_options
from jobrunner.cli.params import DURATION, whole
from jobrunner.core.limits import MAX_TASKS

if TYPE_CHECKING:
    from jobrunner.cli.live.screen import Screen
    from jobrunner.cli.live.sinks import Sink
    from jobrunner.service import AdHoc

RAW_LOG_LIMIT = "1Gi"
"""What is kept of a single task's output unless --log-limit says else: its output is passed on
byte by byte, and a fast writer may be that far ahead of a slow reader before anything is lost."""

TYPED = {"command": "COMMAND", "args": "COMMAND", "container-network": "--network"}
"""What other commands have a flag for, as it is called here."""

OUTPUTS = "prefix, group, dir=DIR or none"


class RunCmd(Cmd):
    """Everything after ``--`` is the command and is not looked at."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            if ctx.resilient_parsing or {"-h", "--help"} & set(args):
                return super().parse_args(ctx, args)
            raise UsageProblem(
                "The command to run comes after '--'.",
                hint="Write: jobrunner run [OPTIONS] -- COMMAND [ARG]...",
            )
        cut = args.index("--")
        ctx.meta["argv"] = tuple(args[cut + 1 :])
        if not ctx.meta["argv"]:
            raise UsageProblem(
                "There is no command after '--'.",
                hint="Write: jobrunner run [OPTIONS] -- COMMAND [ARG]...",
            )
        return super().parse_args(ctx, args[:cut])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "--", "COMMAND", "[ARG]..."]


@click.command(
    cls=RunCmd,
    examples=(
        "jobrunner run --tasks 10 --parallelism 4 -- ./work.sh",
        "jobrunner run --tasks 3 --max-retries 2 --task-timeout 30s -- python3 shard.py",
        "jobrunner run --image busybox --memory 512Mi -- echo hello",
        "jobrunner run --tasks 8 --output dir=results -- sh -c 'echo $CLOUD_RUN_TASK_INDEX'",
    ),
)
@click.option(
    "--tasks", type=whole(1, MAX_TASKS), default=1, metavar="N", help="How many  [default: 1]."
)
@click.option("--parallelism", type=whole(0), metavar="N", help="At most so many at once.")
@click.option(
    "--max-retries", type=whole(0, 10), default=0, metavar="N", help="Per task  [default: 0]."
)
@click.option("--task-timeout", type=DURATION, metavar="DURATION", help="Per attempt  [no limit].")
@click.option("--workdir", metavar="DIR", help="Working directory  [default: this one].")
@click.option("--image", help="Run in containers of this image; COMMAND is then its args.")
@click.option("--set-env-vars", multiple=True, metavar="K=V,...", help="Environment variables.")
@click.option("--env-vars-file", metavar="FILE", help="Environment variables from a YAML file.")
@click.option("--memory", metavar="SIZE", help="Memory of each container, as 512Mi.")
@click.option("--cpu", metavar="N", help="CPUs of each container, as 2 or 500m.")
@own_options("--network", "--container-network")
@click.option("--output", metavar="WAY", help=f"Output of tasks: {OUTPUTS}  [default: prefix].")
@click.option("--quiet", "-q", is_flag=True, help="No progress, and a summary only of failures.")
@format_option("table", "json")
@with_state
def run(state: State, **flags: Any) -> int:
    """Run COMMAND as one or many tasks, here and now, and wait for all of them.

    Each task has its own CLOUD_RUN_TASK_INDEX. The output of tasks comes line by line, led by the
    index; a single task prints as if it ran alone. Exit code 0 only if every task succeeded.
    Ctrl-C ends the tasks gracefully, a second one at once.
    """
    way = output_way(flags["output"], tasks=flags["tasks"], json=flags["form"] == "json")
    if way == "raw" and flags["log_limit"] is None:
        flags["log_limit"] = RAW_LOG_LIMIT
    order = order_of(flags, click.get_current_context().meta["argv"])

    from jobrunner.cli.live.drive import exit_code, say_summary, standard_screen, watched
    from jobrunner.core.notices import notices
    from jobrunner.core.spec import JobSpec

    screen = standard_screen()
    sink = sink_of(way, screen)
    talk = way != "raw" and not flags["quiet"]
    with state.app() as app:
        with flags_named(**TYPED):
            execution = app.service.executions.run_ad_hoc(state.scope(), order, lease=app.lease())
        for notice in notices(JobSpec(template=execution.template)):
            screen.say(f"Warning: {notice}")
        end = watched(
            app,
            execution,
            lambda watch: app.drive(execution, observer=watch, base_env=os.environ),
            sink=sink,
            screen=screen,
            talk=talk,
        )
        ended = end.execution
        code = exit_code(ended, interrupted=app.interrupted)
        if talk or code or end.fault:
            say_summary(app, ended, screen)
        if flags["form"] == "json":
            from jobrunner.cli.output import print_json
            from jobrunner.cli.views.executions import full_view

            print_json(full_view(app, ended))
        end.check()
    return code


def order_of(flags: dict[str, Any], argv: tuple[str, ...]) -> AdHoc:
    """What the flags ask for."""
    from jobrunner.cli.envvars import literal_flags
    from jobrunner.core.spec import EnvVar
    from jobrunner.service import AdHoc

    _, literals, _ = literal_flags(
        set_env_vars=flags["set_env_vars"], env_vars_file=flags["env_vars_file"]
    )
    image = flags["image"] if flags["backend"] != "process" else None
    limits = {name: flags[name] for name in ("cpu", "memory") if flags[name] is not None}
    return AdHoc(
        argv=argv,
        tasks=flags["tasks"],
        parallelism=flags["parallelism"] or None,
        max_retries=flags["max_retries"],
        timeout=flags["task_timeout"],
        image=image,
        working_dir=working_dir(flags["workdir"], in_container=image is not None),
        env=tuple(EnvVar(name, value=value) for name, value in literals.items()),
        limits=limits,
        annotations=annotations_of({k: v for k, v in flags.items() if k != "backend"}),
        backend=flags["backend"],
    )


def working_dir(given: str | None, *, in_container: bool) -> str | None:
    """An absolute path; for a process it exists."""
    if in_container:
        return given
    path = os.path.abspath(given or ".")
    if not os.path.isdir(path):
        raise click.BadParameter(f"'{given}' is not a directory", param_hint="--workdir")
    return path


def output_way(given: str | None, *, tasks: int, json: bool) -> str:
    """``raw``, ``prefix``, ``group``, ``none`` or ``dir=DIR``."""
    if given is None:
        return "none" if json else ("raw" if tasks == 1 else "prefix")
    is_dir = given.startswith("dir=") and len(given) > len("dir=")
    if given not in ("prefix", "group", "none") and not is_dir:
        raise click.BadParameter(f"'{given}' is not {OUTPUTS}", param_hint="--output")
    if json and given in ("prefix", "group"):
        raise click.UsageError(
            f"--format json prints a document to standard output: --output {given} would mix "
            "with it; write --output none or --output dir=DIR."
        )
    return given


def sink_of(way: str, screen: Screen) -> Sink:
    """Where output goes. Raises RunnerFault for a directory that cannot be made."""
    from jobrunner.cli.live import sinks

    if way == "raw":
        return sinks.RawSink(screen)
    if way == "prefix":
        return sinks.PrefixSink(screen)
    if way == "group":
        return sinks.GroupSink(screen)
    if way == "none":
        return sinks.NoSink()
    return sinks.DirSink(way.removeprefix("dir="))
