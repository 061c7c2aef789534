"""Policies of jobs: a new etag with each change."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import Conflict, NotFound
from jobrunner.lib.ids import CountedIds
from jobrunner.service.policies import NO_POLICY, Policies
from jobrunner.store import open_store
from tests.support.stores import a_job

HOME = Scope()


@pytest.fixture
def policies() -> Iterator[Policies]:
    store = open_store("sqlite:///:memory:")
    store.create_job(a_job())
    yield Policies(store, CountedIds())
    store.close()


def test_a_job_without_a_policy_has_the_empty_one(policies: Policies) -> None:
    assert policies.get(HOME, "job") == NO_POLICY
    assert NO_POLICY.etag == "ACAB"
    with pytest.raises(NotFound):
        policies.get(HOME, "nope")


def test_each_change_has_an_etag_of_its_own_that_guards_the_next(policies: Policies) -> None:
    first = policies.set(HOME, "job", '{"a": 1}', etag=NO_POLICY.etag)
    second = policies.set(HOME, "job", '{"a": 2}', version=3, etag=first.etag)
    assert len({NO_POLICY.etag, first.etag, second.etag}) == 3
    assert policies.get(HOME, "job") == replace(second, version=3, document='{"a": 2}')
    with pytest.raises(Conflict):
        policies.set(HOME, "job", "{}", etag=first.etag)


@pytest.mark.parametrize("etag", [None, ""])
def test_without_an_etag_whatever_is_there_is_overwritten(
    policies: Policies, etag: str | None
) -> None:
    policies.set(HOME, "job", '{"a": 1}')
    policies.set(HOME, "job", '{"a": 2}', etag=etag)
    assert policies.get(HOME, "job").document == '{"a": 2}'
