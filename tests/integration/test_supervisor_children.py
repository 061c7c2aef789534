"""What a process sees when it is born, and why one is not."""

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobrunner.core.records import ExitStatus
from jobrunner.errors import LaunchFailed
from jobrunner.ports import Backend, LaunchSpec
from tests.support.backends import output
from tests.support.supervisors import Processes


async def finish(backend: Backend, spec: LaunchSpec) -> ExitStatus:
    launched = await backend.launch(spec)
    return await asyncio.wait_for(backend.wait(launched.handle), 60)


async def said(processes: Processes, spec: LaunchSpec) -> str:
    async with processes.open() as backend:
        end = await finish(backend, spec)
    assert end.ok, (end, output(spec))
    return output(spec, 1).decode("utf-8", "surrogateescape")


async def refusal(processes: Processes, spec: LaunchSpec) -> LaunchFailed:
    async with processes.open() as backend:
        with pytest.raises(LaunchFailed) as caught:
            await backend.launch(spec)
        assert [found async for found in backend.discover()] == []
    return caught.value


# ---------------------------------------------------------------- what it finds


async def test_the_environment_is_what_was_given_and_our_mark_and_nothing_else(
    processes: Processes,
) -> None:
    given = {"ONE": "1", "TWO": "two words", "EMPTY": "", "CHANGED": "template"}
    spec = processes.command(
        "/usr/bin/env", "-0", own={"CHANGED": "attempt", "OWN": "é\n"}, env=given
    )
    text = await said(processes, spec)
    seen = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
    mark = seen.pop("JOBRUNNER_ATTEMPT")
    assert seen == given | {"CHANGED": "attempt", "OWN": "é\n"}
    assert mark.endswith(f":{spec.key}")
    assert len(mark.split(":")) == 3


async def test_bytes_that_are_no_text_survive_in_arguments_and_environment(
    processes: Processes,
) -> None:
    odd = b"\xff\xfe\x80".decode("utf-8", "surrogateescape")
    spec = processes.command(
        "/bin/sh", "-c", 'printf "%s|%s" "$1" "$ODD"', "sh", odd, own={"ODD": odd}
    )
    assert await said(processes, spec) == f"{odd}|{odd}"


async def test_no_descriptor_is_inherited_but_the_three(processes: Processes) -> None:
    # Neighbours are alive meanwhile, so that their pipes exist.
    async with processes.open() as backend:
        neighbours = [await backend.launch(processes.run("sleep 60", n)) for n in range(1, 5)]
        spec = processes.run("exec 9</proc/self/fd; ls -l /proc/$$/fd")
        await finish(backend, spec)
        for neighbour in neighbours:
            await backend.stop(neighbour.handle, grace=0)
    lines = [line for line in output(spec, 1).decode().splitlines() if " -> " in line]
    seen = {line.split(" -> ")[0].split()[-1]: line.split(" -> ")[1] for line in lines}
    assert seen.pop("9").endswith("/fd")
    assert seen.keys() == {"0", "1", "2"}
    assert seen["0"] == "/dev/null"
    assert seen["1"].startswith("pipe:")
    assert seen["2"].startswith("pipe:")
    assert seen["1"] != seen["2"]


async def test_no_signal_is_ignored_or_blocked(processes: Processes) -> None:
    text = await said(processes, processes.command("/bin/cat", "/proc/self/status"))
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    # 32 and 33 belong to the C library; its posix_spawn leaves them ignored in every child.
    assert int(fields["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(fields["SigBlk"], 16) == 0


async def test_it_leads_a_session_and_a_group_of_its_own(processes: Processes) -> None:
    text = await said(processes, processes.command("/bin/cat", "/proc/self/stat"))
    pid, ppid, group, session = (int(text.split()[n]) for n in (0, 3, 4, 5))
    assert pid == group == session
    assert ppid != session


async def test_it_runs_in_the_working_directory_it_was_given(
    processes: Processes, tmp_path: Path
) -> None:
    spec = processes.run("pwd -P", working_dir=str(tmp_path))
    assert await said(processes, spec) == f"{tmp_path}\n"


async def test_without_a_working_directory_it_runs_in_the_backends(processes: Processes) -> None:
    assert await said(processes, processes.run("pwd -P")) == f"{processes.home.resolve()}\n"


async def test_directories_of_attempts_in_one_batch_are_not_mixed_up(
    processes: Processes, tmp_path: Path
) -> None:
    places = [tmp_path / str(n) for n in range(6)]
    for place in places:
        place.mkdir()
    async with processes.open() as backend:
        specs = [
            processes.run("pwd -P", n, execution=f"e-{n % 3}", working_dir=str(places[n % 3]))
            for n in range(6)
        ]
        await asyncio.gather(*(finish(backend, spec) for spec in specs))
    assert [output(spec).decode().strip() for spec in specs] == [
        str(places[n % 3].resolve()) for n in range(6)
    ]


async def test_the_resources_it_used_are_recorded(processes: Processes) -> None:
    script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    async with processes.open() as backend:
        end = await finish(backend, processes.run(script))
    assert end.usage.user is not None
    assert end.usage.user > 0.02
    assert end.usage.system is not None
    assert end.usage.max_rss is not None
    assert 1_000_000 < end.usage.max_rss < 100_000_000


# ---------------------------------------------------------------- limits


DRIVER = """
import asyncio, resource, sys
from tests.support.supervisors import Processes
from pathlib import Path
soft, hard, count = map(int, sys.argv[2:5])
script = sys.argv[5]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from jobrunner.errors import LaunchFailed

async def main():
    stage = Processes(Path(sys.argv[1]))
    async with stage.open() as backend:
        async def one(n):
            try:
                return await backend.launch(stage.run(script, n))
            except LaunchFailed as error:
                print("refused", error.permanent, error.reason)
        launched = [x for x in await asyncio.gather(*(one(n) for n in range(count))) if x]
        Path(sys.argv[1], "gate").touch()
        ends = await asyncio.gather(*(backend.wait(x.handle) for x in launched))
        for x in launched:
            await backend.discard(x.handle)
        print("ok", sum(end.ok for end in ends))

asyncio.run(main())
"""


def run_driver(processes: Processes, soft: int, hard: int, count: int, script: str) -> list[str]:
    numbers = map(str, (soft, hard, count))
    words = [sys.executable, "-c", DRIVER, str(processes.home), *numbers, script]
    root = Path(__file__).parents[2]
    run = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_300_at_once_under_a_low_limit_of_files_run_and_see_that_limit(
    processes: Processes,
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip(f"the hard limit of open files is {hard} here")
    assert run_driver(processes, 128, 4096, 300, "ulimit -Sn; sleep 1") == ["ok 300"]
    specs = [processes.run("", n) for n in range(300)]
    assert {output(spec, 1) for spec in specs} == {b"128\n"}


def test_what_the_hard_limit_of_files_does_not_allow_is_refused_for_now(
    processes: Processes,
) -> None:
    # None of them ends before all have been asked for.
    script = f"until test -e {processes.home}/gate; do sleep 0.1; done"
    lines = run_driver(processes, 100, 100, 60, script)
    refused = [line for line in lines if line.startswith("refused")]
    assert set(refused) == {"refused False TooManyOpenFiles"}
    assert lines[-1] == f"ok {60 - len(refused)}"
    assert 10 <= len(refused) <= 55


# ---------------------------------------------------------------- why it is not born


async def test_a_command_is_looked_up_in_the_childs_own_path(
    processes: Processes, tmp_path: Path
) -> None:
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    path = {"PATH": f"/nowhere:{tmp_path}"}
    assert await said(processes, processes.command("only-here", env=path)) == ("found\n")


async def test_an_empty_part_of_path_is_the_working_directory(
    processes: Processes, tmp_path: Path
) -> None:
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    spec = processes.command("only-here", working_dir=str(tmp_path), env={"PATH": "/bin:"})
    assert await said(processes, spec) == "found\n"


async def test_a_relative_command_counts_from_the_working_directory(
    processes: Processes, tmp_path: Path
) -> None:
    program = tmp_path / "work.sh"
    program.write_text("#!/bin/sh\necho worked\n")
    program.chmod(0o755)
    spec = processes.command("./work.sh", working_dir=str(tmp_path))
    assert await said(processes, spec) == "worked\n"


async def test_a_command_that_is_nowhere_is_named_with_the_path_that_was_searched(
    processes: Processes,
) -> None:
    error = await refusal(processes, processes.command("no-such", env={"PATH": "/a:/b"}))
    assert error.permanent
    assert error.reason == "CommandNotFound"
    assert error.message == "the command 'no-such' was not found in PATH (/a:/b)"


async def test_a_file_without_the_right_to_execute_is_named(
    processes: Processes, tmp_path: Path
) -> None:
    script = tmp_path / "work.sh"
    script.write_text("#!/bin/sh\n")
    error = await refusal(processes, processes.command(str(script)))
    assert error.permanent
    assert error.message == f"the command '{script}' is not an executable file"


async def test_a_directory_is_no_command(processes: Processes, tmp_path: Path) -> None:
    error = await refusal(processes, processes.command(str(tmp_path)))
    assert error.permanent
    assert error.message == f"the command '{tmp_path}' is not an executable file"


async def test_a_script_without_a_first_line_is_told_what_is_missing(
    processes: Processes, tmp_path: Path
) -> None:
    script = tmp_path / "work.sh"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    error = await refusal(processes, processes.command(str(script)))
    assert error.permanent
    assert error.reason == "CommandNotExecutable"
    assert "its first line does not begin with '#!'" in error.message


async def test_a_script_whose_interpreter_is_missing_is_told_so(
    processes: Processes, tmp_path: Path
) -> None:
    script = tmp_path / "work.sh"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    error = await refusal(processes, processes.command(str(script)))
    assert error.permanent
    assert "the interpreter named in its first line" in error.message


async def test_a_working_directory_that_is_missing_is_named(processes: Processes) -> None:
    error = await refusal(processes, processes.run("true", working_dir="/no/such/place"))
    assert error.permanent
    assert error.reason == "WorkingDirectoryUnusable"
    assert error.message == (
        "the working directory '/no/such/place' cannot be entered: No such file or directory"
    )


async def test_arguments_beyond_what_the_kernel_takes_are_refused_for_good(
    processes: Processes,
) -> None:
    error = await refusal(processes, processes.command("/bin/true", "x" * 3_000_000))
    assert error.permanent
    assert error.reason == "CommandTooLong"


async def test_a_null_byte_in_an_argument_is_refused_for_good(processes: Processes) -> None:
    error = await refusal(processes, processes.command("/bin/true", "a\0b"))
    assert error.permanent
    assert "null byte" in error.message


async def test_no_command_at_all_is_refused_for_good(processes: Processes) -> None:
    error = await refusal(processes, processes.command())
    assert error.permanent
    assert error.reason == "CommandMissing"


async def test_a_command_that_appears_later_is_found_by_the_next_attempt(
    processes: Processes, tmp_path: Path
) -> None:
    program = tmp_path / "late"
    path = {"PATH": str(tmp_path)}
    async with processes.open() as backend:
        with pytest.raises(LaunchFailed):
            await backend.launch(processes.command("late", env=path))
        program.write_text("#!/bin/sh\nexit 5\n")
        program.chmod(0o755)
        assert (await finish(backend, processes.command("late", env=path))).code == 5
        program.unlink()
        with pytest.raises(LaunchFailed):
            await backend.launch(processes.command("late", number=1, env=path))


async def test_a_task_may_die_of_the_signals_that_python_ignores(processes: Processes) -> None:
    async with processes.open() as backend:
        end = await finish(backend, processes.run("kill -PIPE $$; sleep 60"))
    assert end.signal == signal.SIGPIPE
