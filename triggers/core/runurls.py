"""URLs that start a job of Cloud Run, as Google's documents tell people to write them.

A target with such a URL is started in process: its script is the same as in production, and nobody
calls Google for it. Pure.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides, SecretRef
from jobrunner.errors import InvalidSpec, Violation

_URL = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#]*@)?(?P<host>\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[^?#]*)?(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_GOOGLE = re.compile(
    r"(?:(?P<before>[a-z]+-[a-z]+[0-9]+)-)?run(?:\.mtls)?\.googleapis\.com"
    r"|run\.(?P<within>[a-z]+-[a-z]+[0-9]+)\.rep\.googleapis\.com"
)
_REGIONAL = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]+)-(?P<rest>.+)")
_V1 = re.compile(r"/apis/run\.googleapis\.com/v1/namespaces/([^/]+)/jobs/([^/]+):run")
_V2 = re.compile(r"/v2/projects/([^/]+)/locations/([^/]+)/jobs/([^/]+):run")
_ANY = re.compile(r"/(?:.*/)?jobs/([^/]+):run")
_BREAKS = re.compile(r"[\t\r\n]")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[::1\]")
_TEST = "run.test"


@dataclass(frozen=True, slots=True)
class Own:
    """Where this server answers: ``names`` are host names in lower case, all at ``port``. The
    loopback addresses are always among them, where the port is the same."""

    port: int
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RunUrl:
    """``project`` is an id or a number. ``region`` is ``None`` where neither host nor path name
    one: the server's default. ``version`` is 1 or 2, 0 for a method of Cloud Run that is none."""

    project: str
    region: str | None
    job: str
    version: int


@dataclass(frozen=True, slots=True)
class RunOrder:
    """``overrides`` is ``None`` if nothing is overridden."""

    overrides: Overrides | None = None
    validate_only: bool = False


def own_of(url: str) -> Own:
    """Of the URL of the server itself. Raises ValueError for what is none."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"'{url}' is not an http or https URL")
    return Own(_port(match), frozenset({_host(match)}))


def read_run_url(url: str, own: Own | None = None) -> RunUrl | None:
    """``None`` for a URL that is to be called like any other."""
    # As every reader of URLs has it, those that make the calls included.
    match = _URL.fullmatch(_BREAKS.sub("", url).strip())
    if match is None:
        return None
    host, path = _host(match), _decoded(match["path"] or "")
    google = _GOOGLE.fullmatch(host)
    if google is not None:
        region = google["before"] or google["within"]
    else:
        ours, region = _ours(host, _port(match), own)
        if not ours:
            return None
    if found := _V1.fullmatch(path):
        return RunUrl(found[1], region, found[2], 1)
    if found := _V2.fullmatch(path):
        return RunUrl(found[1], found[2], found[3], 2)
    if google is not None and (found := _ANY.fullmatch(path)):
        # Nothing that would start a job may leave for Google, however it is spelled.
        return RunUrl("", region, found[1], 0)
    return None


def _host(match: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match["host"]).replace("\u3002", ".")
    return plain.lower().removesuffix(".")


def _port(match: re.Match[str]) -> int:
    digits = match["port"]
    return int(digits[:6]) if digits else _PORTS[match["scheme"].lower()]


def _ours(host: str, port: int, own: Own | None) -> tuple[bool, str | None]:
    """Whether the host is this server, and the region that its name says."""

    def is_own(name: str) -> bool:
        if name == _TEST or name.endswith(".localhost"):
            return True
        if own is None or port != own.port:
            return False
        return name in own.names or bool(_LOOPBACK.fullmatch(name))

    regional = _REGIONAL.fullmatch(host)
    if regional and is_own(regional["rest"]):
        return True, regional["region"]
    return is_own(host), None


def _decoded(path: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")

    return _PERCENT.sub(plain, path)


# ---------------------------------------------------------------- the body


def read_order(version: int, body: bytes) -> RunOrder:
    """The body of a ``:run`` call in the form of that version; an empty one is fine. Raises
    InvalidSpec for what cannot be read; the rules are checked against the job when it is started.
    """
    problems = Problems()
    root = Node(_json(body), "", problems)
    node = root.node("overrides")
    if version == 1:
        seconds = node.whole("timeoutSeconds")
        timeout = None if seconds is None else float(seconds)
        count, validate_only = node.whole("taskCount"), False
    else:
        # The path says which job is meant, and it was not read before: there is no etag to keep.
        root.skip("name", "etag")
        timeout = _duration(node, "timeout")
        # In a message a number that is not set is zero.
        count, validate_only = node.whole("taskCount") or None, root.flag("validateOnly")
    containers = tuple(_container(child, version) for child in node.nodes("containerOverrides"))
    overrides = Overrides(containers, count, timeout)
    node.end()
    root.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return RunOrder(None if overrides == Overrides() else overrides, validate_only)


def _json(body: bytes) -> object:
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidSpec([Violation("body", "is not JSON")]) from None


def _container(node: Node, version: int) -> ContainerOverride:
    override = ContainerOverride(
        name=node.text("name"),
        args=node.texts("args"),
        clear_args=node.flag("clearArgs"),
        env=tuple(_variable(variable, version) for variable in node.nodes("env")),
    )
    node.end()
    return override


def _variable(node: Node, version: int) -> EnvVar:
    name, value = node.text("name"), node.optional_text("value", private=True)
    source = node.node("valueFrom" if version == 1 else "valueSource")
    reference = source.node("secretKeyRef")
    secret = None
    if reference.present:
        keys = ("name", "key") if version == 1 else ("secret", "version")
        secret = SecretRef(reference.text(keys[0]), reference.text(keys[1]) or "latest")
        reference.end()
    source.end()
    node.end()
    if secret is None:
        return EnvVar(name, value or "")
    return EnvVar(name, value or None, secret)


def _duration(node: Node, key: str) -> float | None:
    value = node.raw(key)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s", value):
        return float(value[:-1])
    node.wrong(node.at(key), value, 'a duration; write seconds as text, such as "600s"')
    return None
