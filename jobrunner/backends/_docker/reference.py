"""Names of images: ``[HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]``, and the image ids of an engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

HUB = "docker.io"
_HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_NAME}(?:/{_NAME})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """``repository`` in the form that engines list (no ``docker.io/``, no ``library/``)."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.repository + tag + (f"@{self.digest}" if self.digest else "")


def is_image_id(text: str) -> bool:
    """Whether ``text`` names an image of this engine and nothing that can be pulled."""
    return _ID.fullmatch(text) is not None


def parse_reference(text: str) -> Reference:
    """Raises ValueError with a sentence that names the value and the allowed form."""
    form = "[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], the name in lower case"
    problem = f"'{text}' is not the name of an image; the form is {form}"
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(problem)
    slash = rest.rfind("/")
    name, colon, tag = rest[slash + 1 :].partition(":")
    rest = rest[: slash + 1] + name
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(problem)
    domain, path = _split_domain(rest)
    if not _PATH.fullmatch(path) or (domain and not _DOMAIN.fullmatch(domain)):
        raise ValueError(problem)
    if domain == HUB:
        path = path.removeprefix("library/")
    repository = path if domain == HUB else f"{domain}/{path}"
    return Reference(repository, tag or (None if digest else "latest"), digest or None)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if slash and (any(c in first for c in ".:") or first == "localhost" or first != first.lower()):
        return (HUB if first in _HUB_NAMES else first), rest
    return HUB, text


def pinned(wanted: str, image_id: str, repo_digests: Iterable[str]) -> str:
    """The reference that names exactly this image for ever: the digest under which ``wanted``'s
    repository has it, or the image's id where no registry has seen it."""
    if is_image_id(wanted):
        return image_id
    reference = parse_reference(wanted)
    candidates = [
        (digest, known)
        for known in repo_digests
        for repository, _, digest in [known.partition("@")]
        if repository == reference.repository
    ]
    for digest, known in candidates:
        if digest == reference.digest:
            return known
    return candidates[0][1] if candidates else image_id
