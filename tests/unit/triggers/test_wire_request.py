"""Requests as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.senders.failures import Stop
from triggers.senders.urls import read_url
from triggers.senders.wire.request import Place, Route, encoded, head, route, tunnel


def way(url: str, proxy: str | None = None) -> Route:
    return route(read_url(url), read_url(proxy) if proxy else None, False, True)


def lines(method: str, url: str, *, proxy: str | None = None, size: int = 0) -> list[bytes]:
    text = head(method, way(url, proxy), encoded([("A", "b"), ("C", "")]), size)
    assert text.endswith(b"\r\n\r\n")
    return text[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("http://h", "/", "h"),
        ("http://h?a=b", "/?a=b", "h"),
        ("http://h:80/x%2Fy;z#part", "/x%2Fy;z", "h"),
        ("http://h:443/", "/", "h:443"),
        ("https://h:443/", "/", "h"),
        ("http://h.:8080/", "/", "h:8080"),
        ("http://[::1]/", "/", "[::1]"),
        ("http://[::1]:8080/", "/", "[::1]:8080"),
        ("http://u:p@h/", "/", "h"),
        ("http://bücher.example/ä b", "/%C3%A4%20b", "xn--bcher-kva.example"),
    ],
)
def test_a_request_names_its_target_and_host(url: str, target: str, host: str) -> None:
    first, named, *rest = lines("POST", url, size=2)
    assert first == f"POST {target} HTTP/1.1".encode()
    assert named == f"Host: {host}".encode()
    assert rest == [b"A: b", b"C: ", b"Content-Length: 2"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_has_no_body_by_nature_does_not_mention_one(method: str) -> None:
    assert not any(line.startswith(b"Content-Length") for line in lines(method, "http://h"))
    assert lines(method, "http://h", size=3)[-1] == b"Content-Length: 3"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_could_have_a_body_says_that_it_has_none(method: str) -> None:
    assert lines(method, "http://h")[-1] == b"Content-Length: 0"


def test_a_proxy_is_asked_for_the_whole_url_and_told_who_asks() -> None:
    assert lines("GET", "http://u:p@[::1]:8080/x?y", proxy="http://ada:s%20t@proxy:3128")[:3] == [
        b"GET http://[::1]:8080/x?y HTTP/1.1",
        b"Host: [::1]:8080",
        b"Proxy-Authorization: Basic YWRhOnMgdA==",
    ]


def test_a_tunnel_is_asked_for_by_host_and_port_and_the_target_learns_nothing_of_it() -> None:
    through = way("https://[::1]/x", "http://ada:st@proxy:3128")
    assert tunnel(through.place) == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"
        b"Proxy-Authorization: Basic YWRhOnN0\r\n\r\n"
    )
    assert b"Proxy" not in head("GET", through, b"", 0)


def test_places_are_kept_apart_by_all_that_makes_a_connection_another() -> None:
    urls = ["http://h/", "https://h/", "http://h:81/", "http://i/"]
    places = {way(url, proxy).place for url in urls for proxy in (None, "http://p:1", "http://q:1")}
    # Two targets share the connections to a proxy, if it sees what it carries.
    assert len(places) == 4 + 2 * (1 + 1)
    blind = route(read_url("https://h/"), None, False, False).place
    assert blind != way("https://h/").place
    assert way("http://h/a").place == way("http://u@h/b").place == Place("h", 80, False)


@given(st.text(max_size=60), st.text(max_size=30))
def test_no_url_adds_a_line(path: str, host: str) -> None:
    for url in (f"http://h/{path}", f"http://{host}/", f"http://{path}@h/"):
        try:
            text = head("GET", way(url), b"", 0)
        except Stop:
            continue
        assert text.count(b"\n") == text.count(b"\r") == 3
        assert text.split(b"\r\n")[0].count(b" ") == 2
