"""A file to settings: what is in force, and that no mistake hides another."""

from pathlib import Path

import pytest

from aiogate import Rate, Secret
from aiogate.errors import SettingsError
from aiogate.settings.load import load_settings
from aiogate.settings.model import Address, JournalSettings, ServerSettings
from tests.settings.conftest import IN_ORDER, Load, Refuse, Shelf

TEN_MISTAKES = """\
[server]
listen = "8080"
anonymus = true

[admin]
listen = "10.0.0.1:99999"

[state]
url = "redis+cluster://:hunter2@cache/3"

[journal]
fsync = "sometimes"

[pipeline]
plugins = ["keys", "roles", "lmits"]

[agents.support]
url = "http://user:hunter2@support-agent:8001"
concurrency = 0

[[plugins.keys.keys]]
id = 7

[plugins.limits]
"""


def test_what_is_left_out_has_its_default(load: Load, tmp_path: Path) -> None:
    settings = load(IN_ORDER)
    assert settings.server == ServerSettings()
    assert settings.admin.listen == Address("127.0.0.1", 9090)
    assert settings.state.url == Secret("memory://")
    assert settings.journal == JournalSettings(dir=tmp_path / "var/journal")


def test_an_agent_is_what_its_table_says(load: Load) -> None:
    table = 'required_role = "agent_user"\nrate_limit = "100/minute"\nheaders = { X-Team = "a" }\nmax_body = "1MiB"\n'
    agent = load(IN_ORDER + table).agents["support"]
    assert (agent.id, agent.rate_limit) == ("support", Rate(100, 60.0))
    assert agent.required_roles == {"agent_user"}
    assert (agent.headers, agent.max_body) == ({"X-Team": Secret("a")}, 1024 * 1024)


def test_ten_mistakes_in_ten_places_are_ten_problems_in_the_order_of_the_file(problems: Refuse) -> None:
    found = [line.partition(": ")[0] for line in problems(TEN_MISTAKES)]
    assert found == [
        "server.listen",
        "server.anonymus",
        "admin.listen",
        "state.url",
        "journal.fsync",
        "pipeline.plugins[2]",
        "agents.support.url",
        "agents.support.concurrency",
        "agents.support.concurrency",  # nobody enforces it either
        "plugins.keys.keys[0].secret",
        "plugins.keys.keys[0].id",
        "plugins.limits",
    ]


def test_no_problem_quotes_a_password(problems: Refuse) -> None:
    assert not [line for line in problems(TEN_MISTAKES) if "hunter2" in line]


def test_a_problem_says_what_was_expected_what_was_found_and_where(problems: Refuse) -> None:
    [problem] = problems(IN_ORDER + 'rate_limit = "100 per min"\n')
    expected = "expected a rate such as '100/minute', '5/10s' or '1_000/day', got '100 per min'"
    assert problem == f"agents.support.rate_limit: {expected} (line 6)"


def test_an_unknown_key_comes_with_its_neighbour(problems: Refuse) -> None:
    assert problems(IN_ORDER + 'rate_limt = "1/s"\n[servr]\n') == [
        "agents.support.rate_limt: unknown key; did you mean 'rate_limit'? (line 6)",
        "servr: unknown key; did you mean 'server'? (line 7)",
    ]


def test_a_mistake_in_a_section_does_not_undo_the_rest_of_it(problems: Refuse) -> None:
    found = problems('[server]\nanonymous = true\nmax_body = 0\n[agents.a]\nurl = "http://a"\n')
    assert [line.partition(":")[0] for line in found] == ["server.max_body"]


@pytest.mark.parametrize("table", ["server", "pipeline", "agents", "plugins"])
def test_a_table_must_be_one(problems: Refuse, table: str) -> None:
    assert f"{table}: expected a table, got a number (line 1)" in problems(f"{table} = 3\n")


def test_a_gateway_without_agents_is_refused(problems: Refuse) -> None:
    [problem] = problems('[pipeline]\nplugins = ["keys"]\n')
    assert problem.startswith("agents: there is no agent")


@pytest.mark.parametrize("agent_id", ["-x", "a b", "", "a" * 65, "ü"])
def test_an_agents_id_fits_into_a_path(problems: Refuse, agent_id: str) -> None:
    [problem] = problems(f'{IN_ORDER}[agents."{agent_id}"]\nurl = "http://a"\n')
    assert "an agent's id has up to 64 letters" in problem
    assert problem.endswith("(line 6)")


def test_clients_and_operators_need_an_address_each(problems: Refuse) -> None:
    [problem] = problems(IN_ORDER + '[server]\nlisten = "127.0.0.1:9090"\n')
    assert problem.startswith("admin.listen: 127.0.0.1:9090 is where clients call")


def test_two_free_ports_are_never_the_same(load: Load) -> None:
    free = 'listen = "127.0.0.1:0"\n'
    assert load(f"{IN_ORDER}[server]\n{free}[admin]\n{free}").admin.listen.port == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_operators_call_on_loopback(load: Load, host: str) -> None:
    assert load(f'{IN_ORDER}[admin]\nlisten = "{host}:9090"\n').admin.listen.port == 9090


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "gateway"])
def test_operators_call_from_elsewhere_only_where_they_prove_who_they_are(
    problems: Refuse, load: Load, host: str
) -> None:
    listen = f'[admin]\nlisten = "{host}:9090"\n'
    [problem] = problems(f'[server]\nanonymous = true\n[agents.a]\nurl = "http://a"\n{listen}')
    assert problem.startswith(f"admin.listen: {host}:9090 can be reached from other machines")
    assert "set admin.token" in problem
    assert load(IN_ORDER + listen).admin.listen.port == 9090  # a plugin knows who is an operator
    assert load(f'{IN_ORDER}{listen}token = "{"t" * 16}"\n').admin.listen.port == 9090
    assert load(f'{IN_ORDER}{listen}token_sha256 = "{"0" * 64}"\n').admin.listen.port == 9090


@pytest.mark.parametrize("line", ['token = "short"', 'token = ""', 'token_sha256 = "0"'])
def test_a_token_that_could_be_guessed_is_none(problems: Refuse, line: str) -> None:
    [problem] = problems(f"{IN_ORDER}[admin]\n{line}\n")
    assert problem.startswith("admin.token")
    assert "short" not in problem


def test_relative_paths_start_at_the_configs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/gateway.toml").write_text(IN_ORDER + '[journal]\ndir = "../journal"\n')
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("conf/gateway.toml"), Shelf(), {})
    assert settings.journal.dir == tmp_path / "conf/../journal"


def test_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: 1 problem\n  cannot be read: No such file"):
        load_settings(tmp_path / "none.toml", Shelf(), {})
