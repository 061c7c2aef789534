"""Which hosts a target may reach, and what the settings of calls may say."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import UsageError
from triggers.senders.options import SenderOptions, TokenKind, from_environment
from triggers.senders.reach import Reach, literal, parse_rules


def reach(*, allow: str | None = None, deny: str = "") -> Reach:
    return Reach(None if allow is None else parse_rules(allow, "A"), parse_rules(deny, "D"))


def may(rules: Reach, host: str, *addresses: str) -> bool:
    if rules.of_host(host) is not None:
        return False
    return all(rules.of_address(host, ip_address(address)) is None for address in addresses)


def test_without_lists_everything_may_be_reached() -> None:
    assert Reach().idle
    assert may(Reach(), "169.254.169.254", "169.254.169.254")


@pytest.mark.parametrize(
    ("item", "host", "denied"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "a.example.com", False),
        (".example.com", "a.b.example.com", True),
        ("*.example.com", "a.example.com", True),
        (".example.com", "example.com", False),
        (".example.com", "badexample.com", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("127.0.0.0/8", "127.1", True),
        ("127.0.0.0/8", "0x7f000001", True),
        ("127.0.0.0/8", "2130706433", True),
        ("127.0.0.0/8", "0177.0.0.1", True),
        ("127.0.0.0/8", "[::ffff:127.0.0.1]", True),
        ("169.254.0.0/16", "64:ff9b::a9fe:a9fe", True),
        ("10.0.0.0/8", "2002:a00:1::", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "[FD00:EC2::254]", True),
        ("private", "192.168.1.1", True),
        ("private", "100.64.0.1", True),
        ("private", "0.0.0.0", True),
        ("private", "::", True),
        ("private", "::1", True),
        ("private", "224.0.0.1", True),
        ("private", "8.8.8.8", False),
        ("private", "2001:4860:4860::8888", False),
    ],
)
def test_a_denied_host_is_denied_however_it_is_spelled(item: str, host: str, denied: bool) -> None:
    assert may(reach(deny=item), host) is not denied
    assert may(reach(allow=item), host) is denied


def test_a_name_is_judged_by_where_it_leads() -> None:
    rules = reach(deny="private")
    assert may(rules, "example.com", "93.184.215.14")
    assert not may(rules, "example.com", "93.184.215.14", "10.0.0.1")


def test_what_is_denied_stays_denied_if_it_is_allowed_too() -> None:
    rules = reach(allow=".example.com 10.0.0.0/8", deny="bad.example.com private")
    assert may(rules, "good.example.com", "93.184.215.14")
    assert not may(rules, "bad.example.com")
    assert not may(rules, "good.example.com", "127.0.0.1")
    assert not may(rules, "10.0.0.1")


def test_an_allowed_name_needs_no_allowed_address_and_the_other_way_round() -> None:
    rules = reach(allow="example.com, 10.0.0.0/8")
    assert may(rules, "example.com", "93.184.215.14")
    assert may(rules, "other.example", "10.2.3.4")
    assert not may(rules, "other.example", "93.184.215.14")


def test_an_empty_list_of_allowed_hosts_allows_none() -> None:
    assert not may(reach(allow=""), "example.com")


def test_where_a_proxy_looks_names_up_only_allowed_names_pass() -> None:
    rules = reach(allow="example.com 10.0.0.0/8")
    assert rules.of_host("example.com", seen=False) is None
    assert rules.of_host("10.0.0.1", seen=False) is None
    assert rules.of_host("other.example", seen=False) is not None


def test_a_refusal_says_what_was_refused() -> None:
    said = reach(deny="10.0.0.0/8").of_address("example.com", ip_address("10.0.0.1"))
    assert said == "the address of example.com (10.0.0.1) is on the list of denied targets"


@pytest.mark.parametrize(
    "item", ["a b!", "http://x", "*", "10.0.0.0/99", "10.0.0.1/8", "a..b", "*x.y"]
)
def test_an_item_that_is_none_is_refused_by_name(item: str) -> None:
    with pytest.raises(UsageError, match="LIST: '"):
        parse_rules(item, "LIST")


@given(st.ip_addresses())
def test_every_address_is_its_own_literal(address: object) -> None:
    assert literal(str(address)) == address


@given(st.text(max_size=60))
def test_no_host_breaks_the_lists(host: str) -> None:
    assert isinstance(may(reach(deny="private .x", allow=".y 10.0.0.0/8"), host), bool)


# ---------------------------------------------------------------- settings


def test_nothing_set_is_the_default() -> None:
    assert from_environment({}) == SenderOptions()


def test_every_setting_is_read(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.touch()
    options = from_environment(
        {
            "JOBRUNNER_TARGETS_ALLOW": ".example.com",
            "JOBRUNNER_TARGETS_DENY": "private",
            "JOBRUNNER_TARGETS_CA_FILE": str(authorities),
            "JOBRUNNER_TARGETS_PROXY": "http://user:secret@proxy:3128",
            "JOBRUNNER_TOKENS": "google",
            "JOBRUNNER_ISSUER": "https://jobs.example/",
        }
    )
    assert options == SenderOptions(
        reach=reach(allow=".example.com", deny="private"),
        ca_file=str(authorities),
        proxy="http://user:secret@proxy:3128",
        tokens=TokenKind.GOOGLE,
        issuer="https://jobs.example",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBRUNNER_TARGETS_ALLOW", "a!b"),
        ("JOBRUNNER_TARGETS_DENY", "http://x"),
        ("JOBRUNNER_TARGETS_CA_FILE", "/nowhere"),
        ("JOBRUNNER_TARGETS_PROXY", "socks5://secret@x"),
        ("JOBRUNNER_TARGETS_PROXY", "http://secret:x@h:port"),
        ("JOBRUNNER_TOKENS", "azure"),
        ("JOBRUNNER_ISSUER", "jobs.example"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_no_secret_shown(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        from_environment({name: value})
    assert "secret" not in caught.value.message
