"""Markers from directories, asynchronous tests, and a guard around the user's own data."""

import asyncio
import inspect
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.fixtures"]

TIERS = ("unit", "contract", "integration", "wire", "samples", "rules")
HERE = Path(__file__).parent


# How long an example takes says something of the machine. Where every component is demanded, the
# examples are the same each time: what is new there is not this change's fault.
settings.register_profile(
    "jobrunner",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="JOBRUNNER_TEST_REQUIRE" in os.environ,
)
settings.load_profile("jobrunner")


def pytest_configure() -> None:
    # What runs in the background of a script, or under nohup, is born deaf to these, and so would
    # be all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith(("JOBRUNNER_", "CLOUD_RUN_"))]:
        if not name.startswith("JOBRUNNER_TEST_"):
            del os.environ[name]
    # A test that writes state must ask for the fixture `home`; without it nothing can be created.
    os.environ["JOBRUNNER_HOME"] = "/dev/null/ask-for-the-fixture-home"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(HERE).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path} is in no tier: tests live in {', '.join(TIERS)}")
        item.add_marker(getattr(pytest.mark, tier))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests, each on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
