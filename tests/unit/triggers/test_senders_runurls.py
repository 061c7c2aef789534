"""Which URLs start a job of Cloud Run, and what their bodies say."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides, SecretRef
from jobrunner.errors import InvalidSpec
from triggers.core.runurls import Own, RunOrder, RunUrl, own_of, read_order, read_run_url

V1 = "/apis/run.googleapis.com/v1/namespaces/{project}/jobs/{job}:run"
V2 = "/v2/projects/{project}/locations/{region}/jobs/{job}:run"
OWN = Own(8686, frozenset({"jobs.example"}))

names = st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
regions = st.from_regex(r"[a-z]{2,8}-[a-z]{2,10}[0-9]{1,2}", fullmatch=True)


@given(names, regions, names, st.sampled_from(["http", "https", "HTTPS"]))
def test_every_job_of_cloud_run_is_recognised_in_both_versions(
    project: str, region: str, job: str, scheme: str
) -> None:
    v1, v2 = V1.format(project=project, job=job), V2.format(project=project, region=region, job=job)
    one = RunUrl(project, region, job, 1)
    two = RunUrl(project, region, job, 2)
    for host in (f"{region}-run.googleapis.com", f"run.{region}.rep.googleapis.com"):
        assert read_run_url(f"{scheme}://{host}{v1}") == one
        assert read_run_url(f"{scheme}://{host.upper()}.{v1}?alt=json#x") == one
        assert read_run_url(f"{scheme}://{host}{v2}") == two
    assert read_run_url(f"{scheme}://run.googleapis.com{v2}") == two
    assert read_run_url(f"{scheme}://run.googleapis.com{v1}") == RunUrl(project, None, job, 1)


@pytest.mark.parametrize(
    ("origin", "region"),
    [
        ("http://run.test", None),
        ("http://us-central1-run.test:99", "us-central1"),
        ("http://run.localhost", None),
        ("http://us-east1-run.localhost:9000", "us-east1"),
        ("http://anything.localhost:1", None),
        ("http://localhost:8686", None),
        ("http://127.0.0.1:8686", None),
        ("http://127.1.2.3:8686", None),
        ("http://[::1]:8686", None),
        ("https://jobs.example:8686", None),
        ("https://us-east1-jobs.example:8686", "us-east1"),
        ("http://user:pass@run.test", None),
        ("http://run.googleapis.com@run.test", None),
    ],
)
def test_our_own_hosts_are_recognised(origin: str, region: str | None) -> None:
    path = V1.format(project="p", job="j")
    assert read_run_url(origin + path, OWN) == RunUrl("p", region, "j", 1)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8080", "http://127.0.0.1", "http://jobs.example", "http://example.com",
        "https://run.googleapis.com.evil.example", "https://evilrun.googleapis.com",
        "https://us-central1-run.googleapis.com@evil.example", "ftp://run.googleapis.com",
        "https://aiplatform.googleapis.com", "http://localhost.example:8686", "",
    ],
)  # fmt: skip
def test_other_hosts_are_called_like_any_other(origin: str) -> None:
    for path in (V1, V2):
        url = origin + path.format(project="p", region="us-central1", job="j")
        assert read_run_url(url, OWN) is None


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v2/projects/p/locations/l/jobs/j", "/v2/projects/p/locations/l/jobs",
     "/jobs/j:running", "/apis/run.googleapis.com/v1/namespaces/p/jobs/j",
     "/v2/projects/p/locations/l/jobs/j:runs"],
)  # fmt: skip
def test_other_methods_are_called_like_any_other(path: str) -> None:
    assert read_run_url(f"https://run.googleapis.com{path}") is None
    assert read_run_url(f"http://run.test{path}") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://run.googleapis.com/v1/projects/p/locations/l/jobs/j:run",
        "https://run.googleapis.com/apis/run.googleapis.com/v1alpha1/namespaces/p/jobs/j:run",
        "https://run.googleapis.com/jobs/j:run",
        "https://run.mtls.googleapis.com/v3/jobs/j:run",
        "https://run.us-east1.rep.googleapis.com/v2//jobs/j:run",
    ],
)
def test_nothing_that_might_start_a_job_leaves_for_google(url: str) -> None:
    found = read_run_url(url)
    assert found is not None
    assert found.version == 0
    assert read_run_url(f"http://run.test{url[url.index('.com/') + 4 :]}") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://run.googleapis.com/v2/projects/p/locations/l/jobs/j%3Arun",
        "https://run.googleapis.com/v2/projects/%70/locations/l/jobs/j:%72un",
        " https://run.google\tapis.com/v2/projects/p/locations/l/jobs/j:run\n",
        "https://run\u3002googleapis\u3002com/v2/projects/p/locations/l/jobs/j:run",
        "https://\uff52\uff55\uff4e.googleapis.com:443/v2/projects/p/locations/l/jobs/j:run",
    ],
)  # fmt: skip
def test_a_url_means_the_same_however_it_is_spelled(url: str) -> None:
    assert read_run_url(url) == RunUrl("p", "l", "j", 2)


@given(st.text(max_size=200))
@example("http://run.test/%ff/v2/projects/%80/locations/l/jobs/x:run")
@example("http://run.test:" + "9" * 5000)
def test_no_text_breaks_the_reader(text: str) -> None:
    for url in (
        text,
        f"http://{text}",
        f"https://run.googleapis.com/{text}",
        f"http://run.test{text}",
    ):
        found = read_run_url(url, OWN)
        assert found is None or found.job


@given(
    st.from_regex(r"https://(us-east1-)?run\.googleapis\.com/[ -~]*jobs/[a-z]+:run", fullmatch=True)
)
def test_no_spelling_of_a_run_call_to_google_gets_through(url: str) -> None:
    if not re.search("[?#]", url) and re.search("/jobs/[a-z]+:run$", url):
        assert read_run_url(url) is not None


def test_the_own_host_is_that_of_the_servers_url() -> None:
    assert own_of("http://[::1]:8686") == Own(8686, frozenset({"[::1]"}))
    assert own_of("https://jobs.example") == Own(443, frozenset({"jobs.example"}))
    with pytest.raises(ValueError, match="not an http"):
        own_of("nonsense")


# ---------------------------------------------------------------- bodies


def order(version: int, body: Any) -> RunOrder:
    return read_order(version, json.dumps(body).encode())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b"null", b'{"overrides":{}}'])
def test_a_body_without_overrides_changes_nothing(version: int, body: bytes) -> None:
    assert read_order(version, body) == RunOrder()


def test_the_overrides_of_v1() -> None:
    secret = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "3"}}}
    body = {
        "overrides": {
            "containerOverrides": [
                {"name": "c", "args": ["--day=1"], "env": [{"name": "K", "value": "v"}, secret]}
            ],
            "taskCount": 3,
            "timeoutSeconds": "600",
        }
    }
    env = (EnvVar("K", "v"), EnvVar("S", None, SecretRef("s", "3")))
    override = ContainerOverride("c", ("--day=1",), env=env)
    assert order(1, body).overrides == Overrides((override,), 3, 600.0)


def test_the_overrides_of_v2() -> None:
    secret = {"name": "S", "valueSource": {"secretKeyRef": {"secret": "s"}}}
    body = {
        "name": "projects/p/locations/l/jobs/j",
        "etag": "x",
        "overrides": {
            "containerOverrides": [{"clearArgs": True, "env": [secret]}],
            "taskCount": 0,
            "timeout": "600.5s",
        },
    }
    env = (EnvVar("S", None, SecretRef("s", "latest")),)
    override = ContainerOverride(clear_args=True, env=env)
    assert order(2, body).overrides == Overrides((override,), None, 600.5)
    assert order(2, {"validateOnly": True}) == RunOrder(None, validate_only=True)


@pytest.mark.parametrize(
    ("version", "body", "field"),
    [
        (1, b"{", "body"),
        (1, b"[" * 100_000, "body"),
        (1, b"\xff", "body"),
        (1, b"[]", "document"),
        (1, b'{"override":{}}', "override"),
        (1, b'{"validateOnly":true}', "validateOnly"),
        (1, b'{"overrides":{"timeout":"5s"}}', "overrides.timeout"),
        (2, b'{"overrides":{"timeoutSeconds":5}}', "overrides.timeoutSeconds"),
        (2, b'{"overrides":{"timeout":5}}', "overrides.timeout"),
        (2, b'{"overrides":{"taskCount":"x"}}', "overrides.taskCount"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_is_named(version: int, body: bytes, field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_order(version, body)
    assert [violation.field for violation in caught.value.violations] == [field]
