"""``aiogate check``: every problem at once, for people and for scripts."""

import socket
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate
from tests.state.redis_server import redis_server

IN_ORDER = 'server.anonymous = true\n[agents.support]\nurl = "http://support-agent:8001"\n'


def check(*args: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(_aiogate, ["check", *map(str, args)], env=env)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(IN_ORDER)
    return path


def test_a_config_in_order_is_said_to_be(file: Path) -> None:
    result = check(file)
    assert (result.exit_code, result.output) == (0, f"{file}: in order (1 agent, 0 plugins)\n")


def test_the_config_that_is_shipped_is_in_order() -> None:
    shipped = Path(__file__).parents[2] / "conf/gateway.toml"
    assert check(shipped).output == f"{shipped}: in order (3 agents, 8 plugins)\n"


def test_the_environment_may_name_the_config(file: Path) -> None:
    assert check(env={"AIOGATE_CONFIG": str(file)}).exit_code == 0


def test_problems_go_to_stderr(file: Path) -> None:
    file.write_text(IN_ORDER + 'concurrency = 0\npipeline.plugins = ["limts"]\n')
    result = check(file)
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.startswith(f"aiogate: {file}: 3 problems\n  agents.support.concurrency: ")


def test_a_plugin_that_is_misspelled_comes_with_its_neighbour(file: Path) -> None:
    file.write_text('pipeline.plugins = ["limts"]\n' + IN_ORDER)
    assert "pipeline.plugins[0]: plugin 'limts': not installed; did you mean 'limits'? (line 1)" in check(file).stderr


def test_scripts_get_problems_as_json(file: Path) -> None:
    file.write_text(IN_ORDER + "x = 1\n")
    result = check(file, "--json")
    [problem] = orjson.loads(result.stdout)["problems"]
    assert (result.exit_code, result.stderr) == (78, "")
    assert (problem["path"], problem["line"]) == ("agents.support.x", 4)


def test_scripts_get_an_empty_list_of_a_config_in_order(file: Path) -> None:
    result = check(file, "--json")
    assert (result.exit_code, orjson.loads(result.stdout)) == (0, {"file": str(file), "problems": [], "warnings": []})


POLICIES = """\
pipeline.plugins = ["policies"]
[[plugins.policies.rule]]
name = "a"
deny = 'agent.idd == "support"'
agents = ["suport"]
"""


def test_a_condition_that_does_not_compile_is_shown_with_its_place_and_a_caret(file: Path) -> None:
    file.write_text(f"server.anonymous = true\n{POLICIES}[agents.support]\nurl = 'http://x'\n")
    assert check(file).stderr == (
        f"aiogate: {file}: 1 problem\n"
        "  plugins.policies.rule[0].deny: there is no 'agent.idd'; did you mean 'agent.id'? (line 5)\n"
        '      agent.idd == "support"\n'
        "      ^^^^^^^^^\n"
    )


def test_a_rule_of_an_agent_that_is_not_there_is_a_problem(file: Path) -> None:
    text = POLICIES.replace("agent.idd", "agent.id")
    file.write_text(f"server.anonymous = true\n{text}[agents.support]\nurl = 'http://x'\n")
    [_, problem] = check(file).stderr.splitlines()
    assert problem == (
        "  plugins.policies.rule[0].agents: there is no agent 'suport'; did you mean 'support'? (line 6)"
    )


def test_a_rule_that_can_never_match_is_a_warning(file: Path) -> None:
    text = POLICIES.replace("agent.idd", "agent.id").replace("suport", "other")
    agents = "[agents.support]\nurl = 'http://x'\n[agents.other]\nurl = 'http://x'\n"
    file.write_text(f"server.anonymous = true\n{text}{agents}")
    result = check(file)
    assert (result.exit_code, result.stdout) == (0, f"{file}: in order (2 agents, 1 plugin)\n")
    assert result.stderr.startswith("aiogate: warning: plugins.policies.rule[0].deny: can never match: ")
    assert result.stderr.endswith(" (line 5)\n")
    [warning] = orjson.loads(check(file, "--json").stdout)["warnings"]
    assert (warning["path"], warning["line"]) == ("plugins.policies.rule[0].deny", 5)


def test_a_file_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    result = check(tmp_path / "none.toml")
    assert result.exit_code == 78
    assert result.stderr == f"aiogate: {tmp_path}/none.toml: 1 problem\n  cannot be read: No such file or directory\n"


def test_an_agent_that_nobody_may_call_is_a_warning(file: Path) -> None:
    key = f'[[plugins.api_keys.keys]]\nid = "k"\nsha256 = "{"0" * 64}"\nprincipal = "alice"\nroles = ["user"]\n'
    agents = "".join(f'[agents.{role}]\nurl = "http://x"\nrequired_role = "{role}"\n' for role in ("user", "boss"))
    file.write_text(f'pipeline.plugins = ["api_keys", "roles"]\n{agents}{key}')
    warning = (
        "aiogate: warning: agents.boss.required_role: nobody may call it: no principal has the role boss, "
        "unless a key of the store has it (line 7)\n"
    )
    assert check(file).stderr == warning
    file.write_text(f'pipeline.plugins = ["api_keys", "roles"]\n{agents}[plugins.api_keys]\nstore = false\n{key}')
    assert check(file).stderr == warning.replace(", unless a key of the store has it", "")


def test_a_limit_that_can_never_bind_is_a_warning(file: Path) -> None:
    limits = "".join(
        f'[[plugins.limits.limit]]\nname = "{name}"\n{rest}\n'
        for name, rest in {
            "loose": 'rate = "100/minute"\nper = ["principal", "agent"]',
            "strict": 'rate = "10/hour"\nper = ["agent", "principal"]',
            "short": 'rate = "5/second"\nper = ["agent", "principal"]',
            "nowhere": 'rate = "1/hour"\nmatch = { agent = "none" }',
            "coarse": 'rate = "9/hour"\nper = ["principal"]',
        }.items()
    )
    file.write_text(f'pipeline.plugins = ["limits"]\n{IN_ORDER}{limits}')
    assert check(file).stderr.splitlines() == [
        "aiogate: warning: plugins.limits.limit[0].rate: can never bind: limit 'strict' is reached before it (line 7)",
        "aiogate: warning: plugins.limits.limit[1].rate: can never bind: limit 'coarse' is reached before it (line 11)",
        "aiogate: warning: plugins.limits.limit[3].match.agent: can never bind: there is no agent none (line 20)",
    ]


@pytest.mark.parametrize(
    "plugins, hint",
    [
        ('"policies", "budgets", "cost"', "put 'budgets' before 'policies'"),
        ('"policies"', "no plugin tells it: add one such as budgets"),
        ('"budgets", "policies", "cost"', None),
    ],
)
def test_a_rule_that_asks_for_what_nobody_tells_is_a_warning(plugins: str, hint: str | None, file: Path) -> None:
    rule = '[[plugins.policies.rule]]\nname = "thrifty"\ndeny = "usage.budget_share > 0.9"\n'
    file.write_text(f"pipeline.plugins = [{plugins}]\n{IN_ORDER}{rule}")
    warning = "fails always, and so refuses: nobody knows usage.budget_share"
    place = "aiogate: warning: plugins.policies.rule[0].deny"
    expected = "" if hint is None else f"{place}: {warning}; {hint} in pipeline.plugins (line 7)\n"
    assert check(file).stderr == expected


def test_an_agents_own_limit_that_can_never_bind_is_a_warning(file: Path) -> None:
    agent = f'pipeline.plugins = ["limits"]\n{IN_ORDER}rate_limit = "100/minute"\n'
    limit = '[[plugins.limits.limit]]\nname = "all"\nper = ["principal"]\n'
    file.write_text(f'{agent}{limit}rate = "100/minute"\n')
    assert check(file).stderr == ""
    file.write_text(f'{agent}{limit}rate = "99/minute"\n')
    warning = "is reached before the rate_limit of agent 'support', which can never bind"
    assert check(file).stderr == f"aiogate: warning: plugins.limits.limit[0].rate: {warning} (line 9)\n"


def test_a_probe_connects_to_every_agent_and_says_what_fails(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.create_server(("127.0.0.1", 0)) as down:
        ports = up.getsockname()[1], down.getsockname()[1]
        down.close()
        urls = [f'[agents.{name}]\nurl = "http://127.0.0.1:{port}"\n' for name, port in zip("ab", ports, strict=True)]
        file.write_text("server.anonymous = true\n" + "".join(urls))
        assert check(file).exit_code == 0
        result = check(file, "--probe")
        assert result.exit_code == 78
        [_, problem] = result.stderr.splitlines()
        assert problem.startswith("  agents.b.url: agent 'b' cannot be reached: ")
        assert problem.endswith(" (line 5)")


def test_a_probe_connects_to_every_endpoint(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.create_server(("127.0.0.1", 0)) as down:
        ports = up.getsockname()[1], down.getsockname()[1]
        down.close()
        urls = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports)
        file.write_text(f"server.anonymous = true\n[agents.a]\nurls = [{urls}]\n")
        [_, problem] = check(file, "--probe").stderr.splitlines()
        assert problem.startswith("  agents.a.urls[1]: agent 'a' cannot be reached: ")


def test_a_probe_asks_redis_too(file: Path) -> None:
    with redis_server() as server:
        file.write_text(f'{IN_ORDER}[state]\nurl = "{server.url}"\n')
        assert "state.url" not in check(file, "--probe").stderr
        server.kill()
        assert check(file).exit_code == 0
        result = check(file, "--probe")
        assert result.exit_code == 78
        assert "  state.url: Redis: " in result.stderr
