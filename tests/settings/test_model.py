"""What an agent's table may say."""

from pathlib import Path

import pytest

from aiogate import Secret
from aiogate.settings.model import Address
from tests.certificates import Authority
from tests.settings.conftest import HTTPS, IN_ORDER, Load, Refuse, of_agent


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


@pytest.mark.parametrize(
    "line",
    [
        "connect_seconds = 0",
        "first_byte_seconds = -1.5",
        "idle_seconds = 0",
        "write_seconds = 0.0",
        "total_seconds = -1",
        "idle_connection_seconds = 0",
    ],
)
def test_a_wait_is_longer_than_nothing(problems: Refuse, line: str) -> None:
    [problem] = of_agent(problems, line)
    assert "expected more than 0, got" in problem


def test_capabilities_can_stand_in_a_path(load: Load, problems: Refuse) -> None:
    assert load(f'{IN_ORDER}capabilities = ["sql", "acme:v1.2~x"]\n').agents["support"].capabilities
    for name in ("", "a b", "sql+charts", "a/b", "..", "%41", "x" * 65):
        [problem] = of_agent(problems, f'capabilities = ["sql", "{name}"]')
        assert problem.startswith("capabilities: a capability has up to 64 letters, digits and")


def test_a_weight_is_not_negative(problems: Refuse) -> None:
    assert "weight: expected 0 or more, got -1" in of_agent(problems, "weight = -1")


def test_concurrency_lets_at_least_one_in(problems: Refuse) -> None:
    assert of_agent(problems, "concurrency = 0") == ["concurrency: expected 1 or more, got 0"]


def test_streams_may_take_as_long_as_they_like_unless_the_config_says_otherwise(load: Load) -> None:
    agent = load(IN_ORDER).agents["support"]
    assert (agent.idle_seconds, agent.total_seconds, agent.write_seconds) == (None, None, 60.0)
    agent = load(f"{IN_ORDER}idle_seconds = 30\ntotal_seconds = 600.5\nwrite_seconds = 5\n").agents["support"]
    assert (agent.idle_seconds, agent.total_seconds, agent.write_seconds) == (30.0, 600.5, 5.0)


def test_an_agents_connections_are_bounded(load: Load) -> None:
    agent = load(IN_ORDER).agents["support"]
    assert (agent.max_connections, agent.max_idle, agent.idle_connection_seconds) == (10_000, 100, 4.0)
    lines = "max_connections = 7\nmax_idle = 0\nidle_connection_seconds = 0.5\n"
    agent = load(IN_ORDER + lines).agents["support"]
    assert (agent.max_connections, agent.max_idle, agent.idle_connection_seconds) == (7, 0, 0.5)


@pytest.mark.parametrize("line, least", [("max_connections = 0", 1), ("max_idle = -1", 0)])
def test_a_bound_on_connections_lets_requests_through(problems: Refuse, line: str, least: int) -> None:
    key, _, value = line.partition(" = ")
    assert of_agent(problems, line) == [f"{key}: expected {least} or more, got {value}"]


def test_certificate_files_are_relative_to_the_config(load: Load, tmp_path: Path) -> None:
    ours = Authority(tmp_path).issue("gateway")
    lines = f'ca_file = "ca.pem"\nclient_certificate = "{ours.certificate.name}"\nclient_key = "{ours.key}"\n'
    assert Authority(tmp_path).file == tmp_path / "ca.pem"
    agent = load(HTTPS + lines + 'server_name = "agent.example"\n').agents["support"]
    assert agent.ca_file == tmp_path / "ca.pem"
    assert (agent.client_certificate, agent.client_key) == (ours.certificate, ours.key)
    assert agent.server_name == "agent.example"


@pytest.mark.parametrize("url", ["http://a", "unix:/run/a.sock"])
def test_how_to_verify_an_agent_that_is_not_verified_is_refused(problems: Refuse, tmp_path: Path, url: str) -> None:
    """It would be silently off."""
    both, ca = Authority(tmp_path).issue("gateway").both, Authority(tmp_path).file
    table = {"ca_file": ca, "client_certificate": both, "client_key": both, "server_name": "a"}
    lines = "".join(f'{name} = "{value}"\n' for name, value in table.items())
    found = problems(IN_ORDER.replace("http://support-agent:8001", url) + lines)
    message = "is for https:// alone, and the agent's url is none"
    assert [line.rpartition(" (line")[0] for line in found] == [f"agents.support.{name}: {message}" for name in table]


def test_a_key_without_its_certificate_is_refused(problems: Refuse, tmp_path: Path) -> None:
    key = Authority(tmp_path).issue("gateway").key
    [problem] = problems(f'{HTTPS}client_key = "{key}"\n')
    assert problem == "agents.support.client_key: give client_certificate too (line 6)"


@pytest.mark.parametrize("name", ["", "a b", "ä", "-a", "a.", "https://a"])
def test_a_server_name_is_one_that_a_certificate_can_hold(problems: Refuse, name: str) -> None:
    [problem] = problems(f'{HTTPS}server_name = "{name}"\n')
    assert "expected the name of a host in ASCII" in problem


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
