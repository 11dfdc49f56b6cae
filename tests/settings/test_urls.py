"""What an agent's URL may be."""

import pytest

from aiogate import Agent
from aiogate.settings.model import AgentSettings
from tests.settings.conftest import NO_AGENT, Load, Refuse, of_agent


@pytest.mark.parametrize(
    "url",
    ["http://a", "https://a:8443/Base", "http://[::1]:8001", "http://a/b%20c", "unix:/run/a@1.sock", "unix:/a:/b"],
)
def test_an_upstream_url_is_kept_as_it_is(load: Load, url: str) -> None:
    assert load(f'{NO_AGENT}[agents.a]\nurl = "{url}"\n').agents["a"].url == url


@pytest.mark.parametrize(
    "url, kept", [("http://a/", "http://a"), ("http://a/b/", "http://a/b"), ("unix:/a:/b/", "unix:/a:/b")]
)
def test_the_slash_at_the_end_of_an_upstream_url_is_dropped(url: str, kept: str) -> None:
    assert AgentSettings(url=url).agent("a") == Agent(id="a", url=kept)


@pytest.mark.parametrize("url", ["support-agent:8001", "ftp://a", "http://", "http:///x", "http://a/b c", "http://a/ä"])
def test_what_is_no_upstream_url_is_quoted(problems: Refuse, url: str) -> None:
    [problem] = of_agent(problems, f'url = "{url}"')
    assert problem == f"url: expected a URL such as 'http://support-agent:8001' or 'https://...', got '{url}'"


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:x", "http://[::1"])
def test_an_upstream_url_has_a_port_and_a_host_that_are_some(problems: Refuse, url: str) -> None:
    [problem] = of_agent(problems, f'url = "{url}"')
    assert problem.endswith("its host or its port is none")


@pytest.mark.parametrize("url", ["http://hunter2@a", "http://me:hunter2@a", "ftp://me:hunter2@a", "me:hunter2@a"])
def test_credentials_in_a_url_are_refused_and_never_quoted(problems: Refuse, url: str) -> None:
    [problem] = of_agent(problems, f'url = "{url}"')
    assert problem.startswith("url: ")
    assert "hunter2" not in problem


@pytest.mark.parametrize("url", ["http://a?", "http://a/?key=hunter2", "http://a#b"])
def test_an_upstream_url_has_no_query_and_no_fragment(problems: Refuse, url: str) -> None:
    assert of_agent(problems, f'url = "{url}"') == ["url: expected no query and no fragment"]


@pytest.mark.parametrize(
    "url, kept",
    [
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("https://Bücher.example:8443/base", "https://xn--bcher-kva.example:8443/base"),
    ],
)
def test_a_name_outside_ascii_is_kept_as_it_is_in_dns(load: Load, url: str, kept: str) -> None:
    assert load(f'{NO_AGENT}[agents.a]\nurl = "{url}"\n').agents["a"].url == kept


@pytest.mark.parametrize("host", ["ä..b", "ä" * 64])
def test_a_name_that_cannot_be_in_dns_is_refused(problems: Refuse, host: str) -> None:
    [problem] = of_agent(problems, f'url = "http://{host}"')
    assert problem.startswith("url: expected a URL such as")


def test_a_line_break_in_a_url_is_not_swallowed(problems: Refuse) -> None:
    """Python's parser of URLs drops them."""
    [problem] = of_agent(problems, 'url = "http://a\\n.example"')
    assert problem.startswith("url: expected a URL such as")


@pytest.mark.parametrize(
    "url",
    [
        "unix:",
        "unix:/",
        "unix:run/agent.sock",
        "unix://run/agent.sock",
        "unix:///run/agent.sock",
        "UNIX:/run/agent.sock",
        "unix:/run/",
        "unix:/run/a b.sock",
        "unix:/run/a.sock:base",
    ],
)
def test_what_is_no_unix_socket_is_quoted(problems: Refuse, url: str) -> None:
    [problem] = of_agent(problems, f'url = "{url}"')
    forms = "'unix:/run/agent.sock', or 'unix:/run/agent.sock:/base' with a base path"
    assert problem == f"url: expected a Unix socket such as {forms}, got '{url}'"


def test_the_path_of_a_unix_socket_fits_into_its_address(load: Load, problems: Refuse) -> None:
    path = "/" + "a" * 106
    assert load(f'{NO_AGENT}[agents.a]\nurl = "unix:{path}"\n')
    message = "url: the path of a Unix socket has up to 107 characters, got 108"
    assert of_agent(problems, f'url = "unix:{path}a"') == [message]
