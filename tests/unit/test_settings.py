"""Settings from the environment."""

import os
import pwd

import pytest

from jobrunner.settings import from_environment


def test_the_user_of_a_bare_environment_is_the_account() -> None:
    assert from_environment({"HOME": "/"}).user == pwd.getpwuid(os.getuid()).pw_name
    assert from_environment({"HOME": "/", "LOGNAME": "ada"}).user == "ada"


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
    assert from_environment({"HOME": "/"}).user == "uid-3999999999"
