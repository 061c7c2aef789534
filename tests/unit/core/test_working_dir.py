import pytest

from jobrunner.core.container_rules import check_working_dir
from jobrunner.core.problems import Problems
from jobrunner.core.spec import Container


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            Container(command=("x",), working_dir="sub"),
            "'sub' is not absolute; a directory of this machine begins with '/'",
        ),
        (
            Container(image="i", working_dir="sub"),
            "'sub' is not absolute; in a container it begins with '/'",
        ),
        (Container(command=("x",), working_dir="/sub"), None),
        (Container(command=("x",)), None),
    ],
)
def test_a_stored_job_has_an_absolute_working_directory(
    container: Container, message: str | None
) -> None:
    problems = Problems()
    check_working_dir(problems, "workingDir", container)
    assert [found.message for found in problems.violations] == (
        [] if message is None else [message]
    )
