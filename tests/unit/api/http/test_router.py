"""The router: paths of Google's APIs lead to one method each, and odd ones to a clean refusal."""

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobrunner.api.errors import CallError, MalformedCall, MethodNotAllowed, UnknownPath
from jobrunner.api.http.router import Router
from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.errors import RunnerFault


async def nothing(call: Call) -> Answer:
    return Answer()


def a_method(verb: str, path: str, name: str = "") -> Method:
    return Method(name or f"{verb} {path}", verb, path, nothing, Role.VIEWER)


V1 = "/apis/run.googleapis.com/v1/namespaces/{namespace}"
V2 = "/v2/projects/{project}/locations/{location}"
ROUTER = Router(
    a_method(verb, path)
    for verb, path in [
        ("GET", f"{V1}/jobs"),
        ("POST", f"{V1}/jobs"),
        ("GET", f"{V1}/jobs/{{job}}"),
        ("DELETE", f"{V1}/jobs/{{job}}"),
        ("POST", f"{V1}/jobs/{{job}}:run"),
        ("GET", f"{V2}/jobs/{{job}}:getIamPolicy"),
        ("POST", f"{V2}/jobs/{{job}}:setIamPolicy"),
        ("GET", f"{V2}/operations/{{operation}}"),
        ("POST", "/v2/entries:list"),
        ("GET", "/v1/projects/{project}"),
        ("POST", "/v1/projects/{project}:getIamPolicy"),
    ]
)


def found(verb: str, path: str) -> tuple[str, dict[str, str]]:
    route, values = ROUTER.find(verb, path.encode("latin-1"))
    return route.method.name, dict(zip(route.names, values, strict=True))


A = "/apis/run.googleapis.com/v1/namespaces/p"


@pytest.mark.parametrize(
    ("verb", "path", "template", "values"),
    [
        ("GET", f"{A}/jobs", f"{V1}/jobs", {"namespace": "p"}),
        ("GET", f"{A}/jobs/j", f"{V1}/jobs/{{job}}", {"namespace": "p", "job": "j"}),
        ("POST", f"{A}/jobs/j:run", f"{V1}/jobs/{{job}}:run", {"namespace": "p", "job": "j"}),
        ("POST", "/v2/entries:list", "/v2/entries:list", {}),
        ("GET", "/v1/projects/p", "/v1/projects/{project}", {"project": "p"}),
        (
            "POST",
            "/v1/projects/p:getIamPolicy",
            "/v1/projects/{project}:getIamPolicy",
            {"project": "p"},
        ),
    ],
)
def test_a_path_leads_to_its_method(
    verb: str, path: str, template: str, values: dict[str, str]
) -> None:
    assert found(verb, path) == (f"{verb} {template}", values)


def test_head_is_answered_by_get() -> None:
    assert found("HEAD", f"{A}/jobs")[0] == f"GET {V1}/jobs"


@pytest.mark.parametrize(
    ("encoded", "value"),
    [("a%20b", "a b"), ("a%2Fb", "a/b"), ("a%3Arun", "a:run"), ("%C3%A4", "ä"), ("%25", "%")],
)
def test_a_segment_is_decoded_once_and_stays_one_segment(encoded: str, value: str) -> None:
    assert found("GET", f"{A}/jobs/{encoded}")[1]["job"] == value


@pytest.mark.parametrize(
    "path",
    [
        "", "x", "/", "//", "/v2", f"{A}/jobs/", f"{A}//jobs", f"/{A}/jobs", f"{A}/jobs/j/",
        f"{A}/jobs/..", f"{A}/jobs/.", f"{A}/jobs/%2e%2e", f"{A}/jobs/%2E", f"{A}/jobs/:run",
        f"{A}/jobs/j:fly", f"{A}/jobs/j:", f"{A}/jobs/j:run:run", f"{A}/jobs/j:run/x",
        f"{A}/./jobs", f"{A}/../jobs", f"{A}/JOBS",
    ],
)  # fmt: skip
def test_there_is_nothing_at_any_other_path(path: str) -> None:
    with pytest.raises(UnknownPath):
        found("GET", path)


@pytest.mark.parametrize(
    "segment", ["%", "%z1", "%4", "%00", "a%0ab", "%ff", "%c3%28", "%ED%A0%80"]
)
def test_a_segment_that_is_no_text_is_refused(segment: str) -> None:
    with pytest.raises(MalformedCall):
        found("GET", f"{A}/jobs/{segment}")


def test_a_known_path_says_which_verbs_it_takes() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        found("PUT", f"{A}/jobs/j")
    assert refused.value.allow == "GET, HEAD, DELETE"


def test_two_methods_for_the_same_are_refused_at_start_and_both_named() -> None:
    with pytest.raises(RunnerFault, match=r"POST /a/\{y\}:go: first and second"):
        Router([a_method("POST", "/a/{x}:go", "first"), a_method("POST", "/a/{y}:go", "second")])


@pytest.mark.parametrize(
    "path", ["", "a", "/", "/a//b", "/a/{b", "/a/{b}c", "/a?b", "/a:b/c", "/a:"]
)
def test_a_path_that_is_none_is_refused_at_start(path: str) -> None:
    with pytest.raises(RunnerFault):
        Router([a_method("GET", path)])


def test_a_variable_may_not_occur_twice() -> None:
    with pytest.raises(RunnerFault, match="twice"):
        Router([a_method("GET", "/a/{x}/b/{x}")])


def test_a_literal_wins_and_hides_no_variable_beside_it() -> None:
    router = Router(
        [a_method("GET", "/a/x/b"), a_method("GET", "/a/{v}/c"), a_method("GET", "/a/{v}")]
    )
    assert router.find("GET", b"/a/x/b")[0].method.path == "/a/x/b"
    route, values = router.find("GET", b"/a/x/c")
    assert (route.method.path, values) == ("/a/{v}/c", ["x"])
    assert router.find("GET", b"/a/x")[1] == ["x"]


def test_an_id_may_be_left_out_before_a_verb_where_a_method_says_so_and_nowhere_else() -> None:
    router = Router(
        [a_method("POST", "/a/:go"), a_method("POST", "/a/{v}:go"), a_method("GET", "/a/{v}")]
    )
    route, values = router.find("POST", b"/a/:go")
    assert (route.method.path, values) == ("/a/:go", [])
    assert router.find("POST", b"/a/x:go")[1] == ["x"]
    for nothing in (b"/a/", b"/a/:stop"):
        with pytest.raises(UnknownPath):
            router.find("GET", nothing)


@given(st.text(min_size=1).filter(str.isprintable))
def test_every_printable_text_survives_as_a_variable(text: str) -> None:
    with contextlib.suppress(UnknownPath):
        assert found("GET", f"{A}/jobs/{quote(text, safe='')}")[1]["job"] == text
        return
    assert text in (".", "..")


@given(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]), st.binary())
@example("GET", b"/" * 10_000)
@example("GET", b"/:::")
def test_any_bytes_lead_to_a_method_or_a_clean_refusal(verb: str, path: bytes) -> None:
    for whole in (path, b"/" + path, A.encode() + b"/jobs/" + path):
        with contextlib.suppress(CallError):
            ROUTER.find(verb, whole)
