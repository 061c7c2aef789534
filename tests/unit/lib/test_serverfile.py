"""The file that tells where the server of a home answers."""

import os
import stat
from pathlib import Path

from jobrunner.lib import serverfile
from jobrunner.lib.identity import runner_name
from jobrunner.lib.serverfile import ServerFile


def entry(started: str = "") -> ServerFile:
    return ServerFile(
        "http://127.0.0.1:8686", os.getpid(), started or runner_name("abcde"), "1.0", "secret", "f"
    )


def test_what_is_written_is_read_and_only_its_user_may(tmp_path: Path) -> None:
    serverfile.write(str(tmp_path), entry())
    assert serverfile.read(str(tmp_path)) == entry()
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    assert "secret" not in repr(entry())


def test_no_file_and_a_damaged_one_are_no_server(tmp_path: Path) -> None:
    assert serverfile.read(str(tmp_path)) is None
    for text in ("", "[]", "{}", '{"endpoint": 1, "pid": "x"}', "\xff"):
        (tmp_path / "server.json").write_bytes(text.encode("latin-1"))
        assert serverfile.read(str(tmp_path)) is None


def test_a_server_removes_its_own_file_and_no_other(tmp_path: Path) -> None:
    mine, other = entry(), entry(runner_name("other"))
    serverfile.write(str(tmp_path), other)
    serverfile.remove(str(tmp_path), mine)
    assert serverfile.read(str(tmp_path)) == other
    serverfile.remove(str(tmp_path), other)
    assert serverfile.read(str(tmp_path)) is None


def test_a_process_of_another_boot_or_that_is_gone_is_no_living_server() -> None:
    mine = runner_name("abcde")
    assert entry(mine).live()
    boot = mine.partition("(")[2][:8]
    assert not entry(mine.replace(f"({boot}", "(00000000")).live()
    assert not entry(mine.replace(f"pid {os.getpid()} ", "pid 4194301 ")).live()
    assert not entry("nobody").live()


def test_the_key_that_gcloud_was_given_is_kept_for_the_next_server(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert serverfile.kept_key(home) is None
    (tmp_path / "gcloud").mkdir()
    key = serverfile.new_key()
    serverfile.write(home, ServerFile("http://127.0.0.1:1", 1, runner_name("x"), "1", key))
    assert serverfile.kept_key(home) == key


def test_a_key_that_others_may_know_or_that_is_none_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "gcloud" / "access-token"
    file.parent.mkdir()
    for text in ("", "jrt_" + "a" * 43, "a" * 42, "a" * 42 + "\n", "a" * 42 + "\u00e9"):
        serverfile.write_private(str(file), text)
        assert serverfile.kept_key(str(tmp_path)) is None, text
    serverfile.write_private(str(file), serverfile.new_key())
    assert serverfile.kept_key(str(tmp_path)) is not None
    file.chmod(0o640)
    assert serverfile.kept_key(str(tmp_path)) is None
