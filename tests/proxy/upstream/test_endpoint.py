"""Where an agent listens, out of its URL."""

from pathlib import Path

import pytest

from aiogate import Agent
from aiogate.proxy.upstream.endpoint import endpoint_for, endpoint_of
from aiogate.proxy.upstream.tls import Tls


@pytest.mark.parametrize(
    "url, host, port, authority",
    [
        ("http://Agent", "agent", 80, "agent"),
        ("http://agent:80", "agent", 80, "agent"),
        ("http://agent:8001", "agent", 8001, "agent:8001"),
        ("https://agent", "agent", 443, "agent"),
        ("https://agent:443", "agent", 443, "agent"),
        ("https://agent:80", "agent", 80, "agent:80"),
        ("http://127.0.0.1:8001", "127.0.0.1", 8001, "127.0.0.1:8001"),
        ("http://[::1]", "::1", 80, "[::1]"),
        ("http://[::1]:8001", "::1", 8001, "[::1]:8001"),
        ("http://[fe80::1%25eth0]:8001", "fe80::1%eth0", 8001, "[fe80::1]:8001"),
        ("http://[fe80::1%eth0]", "fe80::1%eth0", 80, "[fe80::1]"),
        ("http://bücher.example:81", "xn--bcher-kva.example", 81, "xn--bcher-kva.example:81"),
    ],
)
def test_a_url_says_where_to_connect_and_what_host_to_name(url: str, host: str, port: int, authority: str) -> None:
    endpoint = endpoint_of(url)
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)
    assert (endpoint.tls is not None) == url.startswith("https")


@pytest.mark.parametrize("url, base", [("http://a", ""), ("http://a/", ""), ("http://a/b%20c/", "/b%20c")])
def test_a_url_may_have_a_base_path(url: str, base: str) -> None:
    assert endpoint_of(url).base_path == base


@pytest.mark.parametrize(
    "url, path, base",
    [
        ("unix:/run/agent.sock", "/run/agent.sock", ""),
        ("unix:/run/agent.sock:", "/run/agent.sock", ""),
        ("unix:/run/agent.sock:/", "/run/agent.sock", ""),
        ("unix:/run/agent@1.sock:/base/v1", "/run/agent@1.sock", "/base/v1"),
        ("unix:/run/agent.sock:/a:b", "/run/agent.sock", "/a:b"),
    ],
)
def test_a_unix_socket_has_a_path_and_may_have_a_base_path(url: str, path: str, base: str) -> None:
    endpoint = endpoint_of(url)
    assert (endpoint.socket_path, endpoint.base_path, endpoint.authority) == (path, base, "localhost")
    assert endpoint.tls is None


@pytest.mark.parametrize(
    "url, name", [("https://a.example.", "a.example"), ("https://[::1]", "::1"), ("https://bücher", "xn--bcher-kva")]
)
def test_the_certificate_has_to_name_the_host(url: str, name: str) -> None:
    assert endpoint_of(url).server_name == name


def test_an_agent_may_say_how_it_is_verified() -> None:
    files = {"ca_file": Path("ca"), "client_certificate": Path("crt"), "client_key": Path("key")}
    endpoint = endpoint_for(Agent(id="a", url="https://10.0.0.1", server_name="agent.example", **files))
    assert endpoint.tls == Tls(**files)
    assert (endpoint.host, endpoint.authority, endpoint.server_name) == ("10.0.0.1", "10.0.0.1", "agent.example")


def test_agents_at_one_place_have_one_endpoint() -> None:
    one, other = (endpoint_for(Agent(id=name, url="https://agent")) for name in "ab")
    assert (one, hash(one)) == (other, hash(other))


def test_an_agent_is_looked_at_once() -> None:
    agent = Agent(id="a", url="https://agent")
    assert endpoint_for(agent) is endpoint_for(agent)
