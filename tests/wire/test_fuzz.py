"""Whatever our own OpenAPI document lets a caller send is answered: no 5xx, no hang, and the server
is as well afterwards as before. schemathesis makes the calls."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.wire.running import serving

EXAMPLES = 6
SLOWEST_SECONDS = 60
LIMIT_SECONDS = 540
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.timeout(LIMIT_SECONDS + 60)
def test_no_call_that_the_openapi_document_allows_breaks_the_server(home: Path) -> None:
    # What is stored is rubbish, but it could be rubbish that deletes files: nothing is started.
    with serving(home, "--slots", "0") as server:
        calls = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json",
                "--checks", CHECKS, "--phases", "coverage,fuzzing",
                "--max-examples", str(EXAMPLES), "--max-response-time", str(SLOWEST_SECONDS),
                "--warnings", "off",
                # The same calls each time: a new one is not this change's fault.
                "--generation-deterministic",
            ],
            capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
        )  # fmt: skip
        said = calls.stdout + calls.stderr
        assert calls.returncode == 0, said[-6000:]
        generated = re.search(r"(\d+) generated, (\d+) passed", said)
        assert generated is not None, said[-2000:]
        assert int(generated[1]) >= 500
        assert get(f"{server.url}/readyz") == b"ok\n"
        # Every document that was stored meanwhile can be read.
        namespace = f"{server.url}/apis/run.googleapis.com/v1/namespaces/local"
        for kind in ("jobs", "executions", "tasks"):
            assert "items" in json.loads(get(f"{namespace}/{kind}?limit=100")) or kind == "jobs"
    assert "Traceback" not in server.log.read_text()
