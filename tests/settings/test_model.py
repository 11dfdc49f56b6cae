"""What an agent's table may say."""

import pytest

from aiogate import Agent, Secret
from aiogate.settings.model import Address, AgentSettings
from tests.settings.conftest import IN_ORDER, Load, Refuse

NO_AGENT = IN_ORDER.partition("[agents")[0]


def of_agent(problems: Refuse, line: str) -> list[str]:
    """Return what is wrong with one more line in an agent's table, without the place."""
    config = IN_ORDER if not line.startswith("url") else NO_AGENT + "[agents.support]\n"
    return [found.removeprefix("agents.support.").rpartition(" (line")[0] for found in problems(f"{config}{line}\n")]


@pytest.mark.parametrize("url", ["http://a", "https://a:8443/base", "http://[::1]:8001", "http://a/b%20c"])
def test_an_upstream_url_is_kept_as_it_is(load: Load, url: str) -> None:
    assert load(f'{NO_AGENT}[agents.a]\nurl = "{url}"\n').agents["a"].url == url


@pytest.mark.parametrize("url, kept", [("http://a/", "http://a"), ("http://a/b/", "http://a/b")])
def test_the_slash_at_the_end_of_an_upstream_url_is_dropped(url: str, kept: str) -> None:
    assert AgentSettings(url=url).agent("a") == Agent(id="a", url=kept)


@pytest.mark.parametrize("url", ["support-agent:8001", "ftp://a", "http://", "http:///x", "http://a/b c", "http://ä"])
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


@pytest.mark.parametrize("line", ['required_role = "a"', 'required_roles = ["a"]'])
def test_one_role_and_a_list_of_one_are_the_same(load: Load, line: str) -> None:
    assert load(f"{IN_ORDER}{line}\n").agents["support"].required_roles == {"a"}


def test_a_role_and_a_list_of_roles_are_one_too_many(problems: Refuse) -> None:
    found = of_agent(problems, 'required_role = "a"\nrequired_roles = ["b"]')
    assert found == ["required_roles: give required_role or required_roles, not both"]


@pytest.mark.parametrize("line", ['required_role = ""', "required_roles = []", 'required_roles = [""]'])
def test_a_role_without_a_name_lets_nobody_in_by_accident(problems: Refuse, line: str) -> None:
    [problem] = of_agent(problems, line)
    assert problem.endswith("expected the name of a role; leave the key out to let everybody in")


@pytest.mark.parametrize("line", ["connect_seconds = 0", "first_byte_seconds = -1.5"])
def test_a_wait_is_longer_than_nothing(problems: Refuse, line: str) -> None:
    [problem] = of_agent(problems, line)
    assert "expected more than 0, got" in problem


def test_concurrency_lets_at_least_one_in(problems: Refuse) -> None:
    assert of_agent(problems, "concurrency = 0") == ["concurrency: expected 1 or more, got 0"]


def test_every_header_that_cannot_be_sent_is_a_problem_of_its_own(problems: Refuse) -> None:
    table = {"Host": "a", "transfer-encoding": "a", "b c": "a", "Ok": "hunter2\\r\\nX: y", "X-A": "a", "x-a": "b"}
    found = of_agent(problems, "\n".join(f'headers."{name}" = "{value}"' for name, value in table.items()))
    assert found == [
        "headers.Host: is the gateway's to set",
        "headers.transfer-encoding: is the gateway's to set",
        'headers."b c": is no name of a header',
        "headers.Ok: expected a value without line breaks and NUL",
        "headers.x-a: is there twice; upper and lower case are the same",
    ]


@pytest.mark.parametrize("value", ['"hunter2"', '["hunter2"]', "12345"])
def test_where_a_table_of_secrets_belongs_nothing_is_quoted(problems: Refuse, value: str) -> None:
    [problem] = of_agent(problems, f"headers = {value}")
    assert problem.startswith("headers: expected a table, got a")
    assert "hunter2" not in problem
    assert "12345" not in problem


def test_a_secret_that_is_no_string_is_not_quoted(problems: Refuse) -> None:
    assert of_agent(problems, "headers.X-Pin = 12345") == ["headers.X-Pin: expected a string"]


def test_headers_are_secrets(load: Load) -> None:
    agent = load(f'{IN_ORDER}headers.Authorization = "Bearer ${{TOKEN}}"\n', {"TOKEN": "t"}).agents["support"]
    assert agent.headers == {"Authorization": Secret("Bearer t")}


@pytest.mark.parametrize("address", [Address("127.0.0.1", 80), Address("::1", 80)])
def test_an_address_is_written_as_a_config_reads_it(load: Load, address: Address) -> None:
    assert load(f'{IN_ORDER}[server]\nlisten = "{address}"\n').server.listen == address
