"""Whether a home is on real or on virtual time, and where that begins and goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from jobrunner.app.options import ServeOptions
from jobrunner.core.timestamps import format_time
from jobrunner.errors import Refused, RunnerFault, UsageError
from jobrunner.lib import clockfile
from jobrunner.lib.clock import VirtualClock, WallClock
from jobrunner.ports import Clock
from jobrunner.service.standing import standing_at
from jobrunner.settings import Settings

Keep = Callable[[float], None]

log = logging.getLogger("jobrunner.server")


def check_clock(settings: Settings, options: ServeOptions) -> None:
    """Raises Refused where the home cannot be served on the clock that was asked for."""
    now = standing_at(settings.home)
    if not options.virtual:
        if options.start is not None:
            raise UsageError("--from: it is for the virtual clock; give --clock virtual, too")
        if now is not None and now > time.time():
            raise Refused(
                f"This home is on virtual time, which stands at {format_time(now)}: on the real"
                " clock everything in it would lie in the future.",
                hint="Serve it with --clock virtual, or take another home: --home DIR.",
            )
        return
    if not settings.database_url.startswith("sqlite"):
        raise Refused(
            "--clock virtual needs SQLite: on PostgreSQL other runners would go on in real time.",
            hint="Leave --database-url and JOBRUNNER_DATABASE_URL away.",
        )
    if now is not None and options.start is not None and options.start != now:
        raise Refused(
            f"--from: virtual time of this home has begun and stands at {format_time(now)}.",
            hint="Leave --from away, then: jobrunner clock advance until TIME.",
        )


def open_clock(settings: Settings, options: ServeOptions) -> tuple[Clock, Keep]:
    """The clock of a server that holds the home, and how it is kept where it stands. Virtual time
    goes on where it stood, or begins; real time ends it. Raises RunnerFault."""
    home = settings.home
    now = standing_at(home)
    if not options.virtual:
        if now is not None:
            log.warning(
                "Virtual time of this home ends at %s; it is on real time from now on.",
                format_time(now),
            )
            clockfile.remove(home)
        return WallClock(), lambda now: None
    if now is None:
        now = time.time() if options.start is None else options.start
    try:
        keeper = clockfile.Keeper(home)
    except OSError as error:
        raise _unwritable(home, error) from None

    def keep(now: float) -> None:
        try:
            keeper.write(now)
        except OSError as error:
            raise _unwritable(home, error) from None

    keep(now)
    return VirtualClock(now), keep


def _unwritable(home: str, error: OSError) -> RunnerFault:
    return RunnerFault(
        f"{clockfile.path_in(home)} cannot be written: {error.strerror}; the clock stands."
    )


def standing_refusal(now: float) -> Refused:
    """Why nobody but the server of the home runs anything there."""
    return Refused(
        f"This home is on virtual time, which stands at {format_time(now)}: its server alone runs"
        " things there.",
        hint="Start them through it (jobrunner serve --clock virtual), or take another home.",
    )
