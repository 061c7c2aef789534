"""Where benchmarks keep what they make: one directory under the temporary one, safe to delete."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]


def base() -> Path:
    """``$JOBRUNNER_BENCH_DIR``, or a directory of this user under the temporary one."""
    default = os.path.join(tempfile.gettempdir(), f"jobrunner-bench-{os.getuid()}")
    path = Path(os.environ.get("JOBRUNNER_BENCH_DIR") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def peers_python() -> Path:
    """The interpreter that ``setup_peers.sh`` makes."""
    return base() / "peers" / "bin" / "python"


def jobrunner() -> str:
    """The command under test: the one beside this interpreter."""
    return str(Path(sys.executable).parent / "jobrunner")


def spawnloop() -> str:
    """The C floor, compiled when it is missing or older than its source."""
    source, program = BENCHMARKS / "spawnloop.c", base() / "spawnloop"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-o", str(program), str(source)], check=True)
    return str(program)
