"""A container engine of a test's own, to be stopped, killed and started at will."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import UnixConnection, require
from tests.support.fixtures import make_busybox_image

START_TIMEOUT = 60.0


class PrivateEngine:
    """A ``dockerd`` with its own data, socket and containerd, without a bridge: containers have no
    network but their loopback. ``held``: its socket is opened by somebody who stays, as systemd
    does it; connections to it are then accepted even while no engine is there."""

    def __init__(self, root: Path, *options: str, held: bool = False) -> None:
        self.root = root
        self.socket = root / "docker.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._holder: socket.socket | None = None
        if held:
            self._holder = socket.socket(socket.AF_UNIX)
            self._holder.bind(str(self.socket))
            self._holder.listen(64)

    def _command(self) -> list[str]:
        # With "--bridge none" an engine removes docker0, the bridge of the machine's own engine,
        # wherever it sees it: so it sees a network of its own.
        apart = ["unshare", "--net", "--"]
        if self._holder is None:
            return [*apart, "dockerd", "--host", self.url]
        take = f'exec 3<&{self._holder.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        return [*apart, "bash", "-c", take, "bash", "dockerd", "--host", "fd://"]

    def start(self) -> None:
        (self.root / "docker.pid").unlink(missing_ok=True)
        with (self.root / "dockerd.log").open("ab") as sink:
            self._process = subprocess.Popen(
                [
                    *self._command(), "--data-root", str(self.root / "data"),
                    "--exec-root", str(self.root / "exec"), "--pidfile",
                    str(self.root / "docker.pid"), "--bridge", "none", "--iptables=false",
                    "--ip6tables=false", "--shutdown-timeout", "5", *self._options,
                ],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
                pass_fds=[] if self._holder is None else [self._holder.fileno()],
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.root / "dockerd.log").read_text()[-3000:]
                pytest.fail(f"the private dockerd did not start:\n{log}", pytrace=False)
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = UnixConnection(str(self.socket), timeout=5.0)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """In good order: it ends its containers first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """At once, with no word to anybody. Its containerd dies with it, its containers stay."""
        self._end(signal.SIGKILL)
        # Where nobody reaps orphans at once, the next dockerd takes the dead one for a living one.
        (self.root / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_TIMEOUT)
            self._process = None

    def remove(self) -> None:
        """Leaves no process and no mount."""
        self.stop()
        if self._holder is not None:
            self._holder.close()
        for entry in Path("/proc").iterdir():
            # Its containerd and shims bear its directory in their command lines.
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and str(self.root).encode() in (
                    (entry / "cmdline").read_bytes()
                ):
                    os.kill(int(entry.name), signal.SIGKILL)
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        for line in reversed(mounts):
            place = line.split(" ")[1]
            if place.startswith(str(self.root)):
                subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def private_engine(*options: str, held: bool = False) -> Iterator[PrivateEngine]:
    """Running, with the test image; gone afterwards. Needs root."""
    require("docker", "busybox")
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a private dockerd needs root and Debian's docker.io")
    root = Path(tempfile.mkdtemp(prefix="jr-dockerd-", dir="/tmp"))
    engine = PrivateEngine(root, *options, held=held)
    try:
        engine.start()
        make_busybox_image(str(engine.socket))
        yield engine
    finally:
        engine.remove()
