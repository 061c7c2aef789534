import pytest

from jobrunner.backends._docker.reference import (
    Reference,
    is_image_id,
    parse_reference,
    pinned,
)

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", Reference("busybox", "latest")),
        ("busybox:1.36", Reference("busybox", "1.36")),
        ("docker.io/library/busybox", Reference("busybox", "latest")),
        ("index.docker.io/library/busybox", Reference("busybox", "latest")),
        ("docker.io/me/app:2", Reference("me/app", "2")),
        ("library/busybox", Reference("busybox", "latest")),
        ("me/app", Reference("me/app", "latest")),
        ("localhost/app", Reference("localhost/app", "latest")),
        ("localhost:5000/app", Reference("localhost:5000/app", "latest")),
        ("127.0.0.1:5000/a/b:t", Reference("127.0.0.1:5000/a/b", "t")),
        ("[::1]:5000/a", Reference("[::1]:5000/a", "latest")),
        ("europe-docker.pkg.dev/p/r/i:v1", Reference("europe-docker.pkg.dev/p/r/i", "v1")),
        (f"busybox@{DIGEST}", Reference("busybox", None, DIGEST)),
        (f"r.example/a:1@{DIGEST}", Reference("r.example/a", "1", DIGEST)),
    ],
)
def test_a_reference_is_read_in_the_engines_own_form(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert parse_reference(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Busybox", "busybox:", "busybox:-x", "a//b", "/a", "a/", "a@sha256:12",
        f"a@{DIGEST}x", "a b", "http://r.example/a", "r.example:port/a", "-r.example/a", "a:b:c",
        "-", ":tag", f"@{DIGEST}", "a:" + "x" * 129,
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_the_value_and_the_form(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_reference(text)
    assert f"'{text}'" in str(refused.value)
    assert "[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]" in str(refused.value)


def test_an_image_id_is_not_a_name() -> None:
    assert is_image_id(DIGEST)
    assert is_image_id("ab" * 32)
    assert not is_image_id("busybox")
    assert not is_image_id(f"busybox@{DIGEST}")


def test_the_digest_of_the_same_repository_is_pinned() -> None:
    known = [f"other@{OTHER}", f"r.example:5000/app@{DIGEST}"]
    assert pinned("r.example:5000/app:1", OTHER, known) == f"r.example:5000/app@{DIGEST}"


def test_the_digest_that_was_asked_for_is_pinned_where_there_are_several() -> None:
    known = [f"app@{OTHER}", f"app@{DIGEST}"]
    assert pinned(f"app@{DIGEST}", "sha256:1", known) == f"app@{DIGEST}"


@pytest.mark.parametrize("known", [[], [f"elsewhere/app@{OTHER}"]])
def test_without_a_digest_the_image_id_is_pinned(known: list[str]) -> None:
    assert pinned("app", DIGEST, known) == DIGEST


def test_an_image_id_stays_what_it_is() -> None:
    assert pinned(DIGEST, DIGEST, [f"app@{OTHER}"]) == DIGEST
