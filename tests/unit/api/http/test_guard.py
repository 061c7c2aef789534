"""The guard: our own names, our own pages, known tokens, a role that is enough."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.api.errors import (
    CallError,
    MalformedCall,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
)
from jobrunner.api.http.guard import (
    OwnNames,
    allow,
    bearer,
    check_exposure,
    check_page,
    identify,
    is_loopback,
    own_names,
)
from jobrunner.calls import Answer, Call, Method, Principal, Role
from jobrunner.errors import Refused, StoreFault

OURS = own_names("127.0.0.1", ["jobs.example.com"])


@pytest.mark.parametrize(
    "authority",
    [
        "127.0.0.1:8686", "127.0.0.1", "127.9.9.9:1", "[::1]:8686", "[::1]", "localhost",
        "LOCALHOST:8686", "localhost.:8686", "run.localhost:8686", "a.b.localhost", "run.test:8686",
        "jobs.example.com", "Jobs.Example.Com:443", "localhost:",
    ],
)  # fmt: skip
def test_the_server_answers_to_its_own_names(authority: str) -> None:
    assert OURS.host(authority).region is None


@pytest.mark.parametrize(
    "authority",
    [
        "us-central1-run.localhost:8686", "us-central1-run.test", "us-central1-localhost",
        "us-central1-jobs.example.com", "US-Central1-run.test:1",
    ],
)  # fmt: skip
def test_the_region_is_the_prefix_of_the_host(authority: str) -> None:
    assert OURS.host(authority).region == "us-central1"


@pytest.mark.parametrize(
    "authority",
    [
        "evil.example:8686", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost",
        "10.0.0.1", "169.254.169.254", "[fe80::1]", "0.0.0.0", "us-central1-evil.example",
        "evil-run.test", "xrun.test", "us-central1-run.test.evil.example", "example.com",
        "0x7f.1", "2130706433", "a.run.test",
    ],
)  # fmt: skip
def test_any_other_name_is_refused_and_told_what_to_do(authority: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        OURS.host(authority)
    assert "does not answer to the host name" in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    "authority",
    ["", ":80", "a b", "user@localhost", "localhost:80:80", "localhost:99999999", "[::1", "::1",
     "localhost/x", "http://localhost", "localhost\x00", "bücher.localhost", "localhost,localhost"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(authority: str) -> None:
    with pytest.raises(MalformedCall):
        OURS.host(authority)


def test_a_server_on_all_addresses_answers_to_each_address_but_not_to_each_name() -> None:
    names = own_names("0.0.0.0")
    assert names.host("192.0.2.7:8686").name == "192.0.2.7"
    assert names.host("[2001:db8::1]:8686").name == "2001:db8::1"
    with pytest.raises(PermissionDenied):
        names.host("evil.example")


def test_a_server_on_one_address_answers_to_that_address() -> None:
    names = own_names("192.0.2.7")
    assert names.host("192.0.2.7").name == "192.0.2.7"
    with pytest.raises(PermissionDenied):
        names.host("192.0.2.8")


def test_the_memory_of_names_stays_small() -> None:
    names = OwnNames()
    for number in range(1000):
        names.host(f"a{number}.localhost")
    assert len(names._seen) <= 256


@given(st.text())
def test_any_text_is_a_host_of_ours_or_cleanly_refused(authority: str) -> None:
    with contextlib.suppress(CallError):
        assert OURS.host(authority).name


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False),
        ("example.com", False), ("run.localhost", False),
    ],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "jobs.example.com", ""])
def test_a_public_address_needs_tokens_or_a_clear_word(host: str) -> None:
    with pytest.raises(Refused) as refused:
        check_exposure(host, has_tokens=False, insecure=False)
    assert "--insecure" in str(refused.value.hint)
    assert "tokens create" in str(refused.value.hint)
    check_exposure(host, has_tokens=True, insecure=False)
    check_exposure(host, has_tokens=False, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_neither(host: str) -> None:
    check_exposure(host, has_tokens=False, insecure=False)


def page(verb: str = "POST", *, secure: bool = False, **headers: str) -> None:
    raw = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    check_page(verb, raw, secure=secure, authority="localhost:8686")


def test_a_program_is_no_page() -> None:
    page()


def test_our_own_page_may_call() -> None:
    page(origin="http://localhost:8686", sec_fetch_site="same-origin")
    page(origin="HTTP://LocalHost:8686")
    page(secure=True, origin="https://localhost:8686")
    page(sec_fetch_site="none")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://localhost:3000", "http://localhost",
     "https://localhost:8686", "http://localhost:8686.evil.example", "http://127.0.0.1:8686",
     "http://localhost:8686, http://evil.example", "file://", "chrome-extension://abc"],
)  # fmt: skip
def test_a_page_of_another_origin_may_not_call(origin: str) -> None:
    for verb in ("POST", "GET", "OPTIONS"):
        with pytest.raises(PermissionDenied, match="web pages"):
            page(verb, origin=origin)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "garbage"])
def test_a_browser_that_says_cross_site_is_believed(site: str) -> None:
    with pytest.raises(PermissionDenied):
        page("GET", sec_fetch_site=site)
    with pytest.raises(PermissionDenied):
        page("GET", sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="image")
    with pytest.raises(PermissionDenied):
        page("GET", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="iframe")


def test_a_link_from_elsewhere_may_be_followed_but_no_form_sent() -> None:
    def follow(verb: str) -> None:
        page(
            verb, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document"
        )

    follow("GET")
    with pytest.raises(PermissionDenied):
        follow("POST")


def test_a_bearer_token_is_read_from_its_header() -> None:
    assert bearer(None) is None
    assert bearer(b"Bearer abc.DEF-123_~+/==") == "abc.DEF-123_~+/=="
    assert bearer(b"bearer   x") == "x"


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearer a b", b"x", b"Bearer \xff"]
)
def test_any_other_authorization_is_refused_without_repeating_it(header: bytes) -> None:
    with pytest.raises(Unauthenticated) as refused:
        bearer(header)
    assert "YTpi" not in refused.value.message


def house(token: str | None, loopback: bool) -> Principal | None:
    if token is None:
        return Principal("owner") if loopback else None
    return Principal("ci", Role.INVOKER) if token == "right" else None


def test_who_calls_is_what_the_authenticator_says() -> None:
    assert identify(house, None, loopback=True).name == "owner"
    assert identify(house, "right", loopback=False) == Principal("ci", Role.INVOKER)


def test_a_stranger_is_told_apart_from_one_without_a_token() -> None:
    with pytest.raises(Unauthenticated, match="has none"):
        identify(house, None, loopback=False)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked") as refused:
        identify(house, "s3cret", loopback=True)
    assert "s3cret" not in refused.value.message


async def nothing(call: Call) -> Answer:
    return Answer()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("least", Role)
def test_a_role_may_do_what_the_ones_below_it_may(role: Role, least: Role) -> None:
    method = Method("run.jobs.run", "POST", "/jobs/{job}:run", nothing, least)
    if role >= least:
        allow(Principal("p", role), method)
        return
    with pytest.raises(PermissionDenied) as refused:
        allow(Principal("p", role), method, "jobs/j")
    assert refused.value.message == (
        "Permission 'run.jobs.run' denied on resource 'jobs/j' (or resource may not exist)."
    )


def test_a_database_that_is_away_is_not_described_to_strangers() -> None:
    def away(token: str | None, loopback: bool) -> Principal | None:
        raise StoreFault("the database at db.internal cannot be reached")

    with pytest.raises(Overloaded) as caught:
        identify(away, "jrt_x", loopback=False)
    assert "db.internal" not in caught.value.message
