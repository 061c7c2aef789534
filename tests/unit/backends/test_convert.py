"""What the process backend makes of the supervisor's words."""

import pytest

from jobrunner.backends.process.convert import exit_status


def test_output_that_could_not_be_stored_is_said_of_the_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = exit_status(["uid-1/7/2", 0, None, 0.1, 0.2, 4096, 1.0, 2.0, None, 10, 131072])
    assert status.code == 0
    assert caplog.messages == ["task 7, attempt 2: 131072 bytes of output were not stored"]
