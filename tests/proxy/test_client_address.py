"""Which address a client has that calls through proxies."""

import ipaddress

import hypothesis.strategies as st
import pytest
from hypothesis import given
from multidict import CIMultiDict

from aiogate.proxy.client_address import Network, client_address

OURS = tuple[Network, ...](map(ipaddress.ip_network, ("10.0.0.0/8", "2001:db8::/32")))
PROXY = "10.0.0.1"


def address(*headers: tuple[str, str], peer: str = PROXY, trusted: tuple[Network, ...] = OURS) -> str:
    return client_address(peer, CIMultiDict(headers), trusted)


def test_by_default_nobody_is_trusted() -> None:
    assert address(("X-Forwarded-For", "192.0.2.7"), trusted=()) == PROXY


def test_a_peer_that_is_not_trusted_cannot_name_another() -> None:
    assert address(("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7"), peer="198.51.100.1") == (
        "198.51.100.1"
    )


def test_a_trusted_proxy_that_names_nobody_calls_itself() -> None:
    assert address() == PROXY


@pytest.mark.parametrize(
    "values, expected",
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["203.0.113.9", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["garbage, 192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, garbage"], ""),
        (["192.0.2.7, "], ""),
        (["unknown"], ""),
        (["192.0.2.7:5123"], "192.0.2.7"),
        (["[2001:db9::1]:5123"], "2001:db9::1"),
        (["2001:DB9:0::1"], "2001:db9::1"),
        (["192.0.2.7,2001:db8::5"], "192.0.2.7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
    ],
)
def test_x_forwarded_for_is_read_from_its_end(values: list[str], expected: str) -> None:
    assert address(*(("X-Forwarded-For", value) for value in values)) == expected


@pytest.mark.parametrize(
    "value, expected",
    [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=192.0.2.7;proto=https;by=10.0.0.1", "192.0.2.7"),
        ('proto=https; for="192.0.2.7:80", for=10.0.0.2', "192.0.2.7"),
        ('for="[2001:db9::1]:80"', "2001:db9::1"),
        ("for=203.0.113.9, for=192.0.2.7", "192.0.2.7"),
        ("for=192.0.2.7, for=unknown", ""),
        ("for=_hidden", ""),
        ("proto=https", ""),
        ('for="192.0.2.7', ""),
        ('for=203.0.113.9;host="a, for=192.0.2.7", for=10.0.0.2', "203.0.113.9"),
        ('for=192.0.2.7;host="a\\", for=203.0.113.9"', "192.0.2.7"),
        ("for=192.0.2.7;;", ""),
    ],
)
def test_forwarded_is_read_from_its_end(value: str, expected: str) -> None:
    assert address(("Forwarded", value)) == expected


def test_two_headers_that_agree_are_believed() -> None:
    assert address(("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7")) == "192.0.2.7"


def test_of_two_headers_that_disagree_one_is_the_clients_own() -> None:
    assert address(("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=10.9.9.9")) == ""


def test_a_peer_of_ipv4_on_a_socket_of_ipv6_is_trusted_as_one_of_ipv4() -> None:
    assert address(("X-Forwarded-For", "192.0.2.7"), peer="::ffff:10.0.0.1") == "192.0.2.7"


@given(forged=st.text(), name=st.sampled_from(["X-Forwarded-For", "x-forwarded-for"]))
def test_nothing_that_a_client_writes_in_front_changes_its_address(forged: str, name: str) -> None:
    assert address((name, f"{forged}, 192.0.2.7")) == "192.0.2.7"
