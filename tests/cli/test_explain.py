"""``aiogate explain``: every step of an imagined request, and of one that is in the journal."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import tomli_w
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate
from aiogate.testing import fake_agent, running_gateway

SHIPPED = Path(__file__).parents[2] / "conf/gateway.toml"
ALICE = "agk_demo-alice_11111111111111111111111111111111111111111111111111111111111111a1"


def explain(*args: object) -> Result:
    return CliRunner().invoke(_aiogate, ["explain", *map(str, args)])


def explained(*args: object) -> dict[str, Any]:
    result = explain(*args, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = orjson.loads(result.stdout)
    return found


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {f"{step['plugin']}.{step['hook']}": step["verdict"] for step in found["steps"]}


def test_every_step_is_there_in_order_up_to_the_agent() -> None:
    found = explained(SHIPPED, "--as", "alice", "--agent", "analytics", "POST", "/chat")
    assert list(verdicts(found)) == [
        "api_keys.pre_request",
        "roles.pre_request",
        "policies.pre_request",
        "breaker.pre_request",
        "cost.pre_request",
        "routing.route",
        "limits.claims",
    ]
    assert verdicts(found)["limits.claims"].startswith("claims 1 of 3 in 60 s (rate_limit), ")
    assert (found["verdict"], found["agent"], found["refusal"]) == ("sent", "analytics", None)


def test_a_rule_is_shown_with_its_values_and_its_verdict() -> None:
    found = explained(SHIPPED, "--as", "alice", "--agent", "analytics", "POST", "/chat")
    [policies] = [step for step in found["steps"] if step["plugin"] == "policies"]
    [finding] = [one for one in policies["findings"] if one["rule"] == "departments"]
    assert (finding["verdict"], finding["values"]) == ("passes", {"principal.department": "data"})


def test_the_step_that_refuses_is_the_last() -> None:
    found = explained(SHIPPED, "--as", "bob", "--agent", "analytics", "POST", "/chat")
    assert verdicts(found)["roles.pre_request"].startswith("rules out analytics: 403 role_required: ")
    assert list(verdicts(found))[-1] == "roles.pre_request"
    assert (found["verdict"], found["refusal"]["code"]) == ("refused", "role_required")


def test_the_client_and_the_time_may_be_given() -> None:
    request = (SHIPPED, "--as", "bob", "--agent", "support", "POST", "/chat", "--at", "2026-01-31T23:00:00Z")
    assert explained(*request)["verdict"] == "sent"
    found = explained(*request, "--from", "192.0.2.1")
    assert found["refusal"]["rule"] == "house-network-by-night"


def test_a_key_in_a_header_is_taken_as_the_gateway_takes_it() -> None:
    found = explained(SHIPPED, "POST", "/agents/support/chat", "--header", f"X-API-Key: {ALICE}")
    assert found["principal"] == "alice"
    assert "authenticates alice (" in verdicts(found)["api_keys.pre_request"]
    assert ALICE not in orjson.dumps(found).decode()


def test_without_a_caller_the_gateway_refuses() -> None:
    assert explained(SHIPPED, "POST", "/agents/support/chat")["refusal"]["code"] == "unauthenticated"


def test_people_get_rules_with_signs_and_the_end_in_the_last_line() -> None:
    lines = explain(SHIPPED, "--as", "alice", "--agent", "analytics", "POST", "/chat").output.splitlines()
    assert lines[0].startswith(
        "alice (roles agent_user, analyst; department data; key demo-alice)  POST /agents/analyt"
    )
    assert "       + contractors-stay-out: passes analytics" in lines
    assert '             principal.roles = ["agent_user","analyst"]' in lines
    assert lines[-1] == "  => sent to analytics: POST http://127.0.0.1:8099/chat"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((SHIPPED, "--as", "alcie", "POST", "/agents/support/x"), "knows no principal 'alcie'; did you mean 'alice'?"),
        ((SHIPPED, "--as", "alice", "POST", "/agents/support/../x"), "must not hold a '..' segment"),
        ((SHIPPED, "--as", "alice", "POST"), "give a METHOD and a PATH"),
        ((SHIPPED, "POST", "/agents/support/x", "--header", "x"), "expected --header NAME:VALUE, got 'x'"),
    ],
)
def test_a_wrong_call_is_said_in_one_sentence(arguments: tuple[object, ...], message: str) -> None:
    result = explain(*arguments)
    assert result.exit_code in {1, 2}
    assert message in result.stderr


def test_an_unknown_agent_is_a_404() -> None:
    found = explained(SHIPPED, "--as", "alice", "POST", "/agents/suport/x")
    assert found["refusal"]["code"] == "unknown_agent"


RULES = [
    {"name": "no-bob", "deny": 'principal.id == "bob"', "message": "Not bob."},
    {"name": "team", "deny": 'request.headers["x-team"] == "red"'},
    {"name": "later", "deny": '"analyst" in principal.roles', "mode": "shadow"},
]
KEY = "agk_k-1_" + "a" * 64


async def journaled(tmp_path: Path, principal: str, key: str = KEY) -> str:
    """Send one request through a gateway and return its id."""
    import hashlib  # noqa: PLC0415 - only here

    sha256 = hashlib.sha256(KEY.encode()).hexdigest()
    async with fake_agent() as agent:
        config = {
            "pipeline": {"plugins": ["api_keys", "policies"]},
            "agents": {"echo": {"url": agent.url}},
            "plugins": {
                "api_keys": {"keys": [{"id": "k-1", "sha256": sha256, "principal": principal, "roles": ["analyst"]}]},
                "policies": {"rule": RULES},
            },
        }
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:
            headers = {"X-API-Key": key, "X-Team": "blue"}
            async with session.post(f"{gateway.url}/agents/echo/chat", headers=headers) as response:
                await response.read()
                return response.headers["X-Request-Id"]


def test_an_exchange_of_the_journal_is_explained_without_guessing_what_nobody_knows(tmp_path: Path) -> None:
    request_id = asyncio.run(journaled(tmp_path, "alice"))
    found = explained(request_id, "--config", tmp_path / "gateway.toml")
    assert (found["record"]["principal"], found["record"]["shadow"]) == ("alice", ["later"])
    assert verdicts(found)["policies.pre_request"] == "cannot be decided without request.headers"
    [policies] = [step for step in found["steps"] if step["plugin"] == "policies"]
    assert [(one["rule"], one["verdict"]) for one in policies["findings"]] == [
        ("no-bob", "passes"),
        ("team", "unknown"),
        ("later", "would deny"),
    ]
    shown = explain(request_id, "--config", tmp_path / "gateway.toml").output.splitlines()
    assert shown[-1].endswith(", unless refused by what the journal cannot tell: team")


def test_a_refusal_in_the_journal_is_shown_with_its_rule_and_its_message(tmp_path: Path) -> None:
    request_id = asyncio.run(journaled(tmp_path, "bob"))
    lines = explain(request_id, "--config", tmp_path / "gateway.toml").output.splitlines()
    assert '     rule          "no-bob"' in lines
    assert '     detail        "Not bob."' in lines
    assert "       x no-bob: denies echo" in lines


def test_an_exchange_that_nobody_was_authenticated_in_is_only_shown(tmp_path: Path) -> None:
    request_id = asyncio.run(journaled(tmp_path, "alice", key="agk_none"))
    lines = explain(request_id, "--config", tmp_path / "gateway.toml").output.splitlines()
    assert '     code          "unauthenticated"' in lines
    assert lines[-1] == "It never got as far as the rules."


def test_an_id_that_the_journal_does_not_have_is_said_in_one_sentence(tmp_path: Path) -> None:
    asyncio.run(journaled(tmp_path, "alice"))
    result = explain("f" * 32, "--config", tmp_path / "gateway.toml")
    assert (result.exit_code, f"has no exchange {'f' * 32}" in result.stderr) == (1, True)


def test_help_shows_an_example_before_the_options() -> None:
    output = explain("--help").output
    assert output.index("Example:\n") < output.index("Options:")


ROUTED = """
[pipeline]
plugins = ["api_keys", "roles", "routing"]

[plugins.api_keys]
keys = [{ id = "k", sha256 = "%s", principal = "alice" }]

[agents.first]
url = "http://127.0.0.1:1"
capabilities = ["sql"]
priority = 2

[agents.second]
url = "http://127.0.0.1:1"
capabilities = ["sql"]
priority = 1

[agents.closed]
url = "http://127.0.0.1:1"
capabilities = ["sql"]
required_role = "analyst"
"""


def routed(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(ROUTED % ("0" * 64))
    return path


def test_a_capability_is_explained_with_route_and_ranking(tmp_path: Path) -> None:
    found = explained(routed(tmp_path), "--as", "alice", "POST", "/capabilities/sql/q")
    assert verdicts(found)["roles.pre_request"].startswith("rules out closed: 403 role_required")
    assert verdicts(found)["routing.ranking"] == "ranks second, first"
    assert verdicts(found)["routing.route"] == "second"
    [ranking] = [step["ranking"] for step in found["steps"] if step["hook"] == "ranking"]
    assert ranking[0] == {"agent": "second", "reason": "priority 1", "figures": {"priority": 1}}
    assert (found["verdict"], found["agent"]) == ("sent", "second")
    lines = explain(routed(tmp_path), "--as", "alice", "POST", "/capabilities/sql/q").output.splitlines()
    assert "        1. second: priority 1" in lines
    assert lines[-1] == "  => sent to second: POST http://127.0.0.1:1/q"


@pytest.mark.parametrize(
    "path, verdict, code",
    [("/capabilities/sqll/q", "refused", "unknown_capability"), ("/capabilities", "answered", None)],
)
def test_paths_that_reach_no_agent_end_as_in_the_gateway(
    path: str, verdict: str, code: str | None, tmp_path: Path
) -> None:
    found = explained(routed(tmp_path), "--as", "alice", "GET", path)
    assert (found["verdict"], found["refusal"] and found["refusal"]["code"]) == (verdict, code)


def test_budgets_are_claimed_by_an_estimate_and_not_asked(tmp_path: Path) -> None:
    budget = '[[plugins.budgets.budget]]\nname = "team"\nusd = 5\ntokens = 9_000\nperiod = "day"\n'
    text = SHIPPED.read_text().replace('"roles", ', '"roles", "budgets", ')
    path = tmp_path / "gateway.toml"
    path.write_text(f"{text}\n{budget}")
    found = explained(path, "--as", "alice", "--agent", "support", "POST", "/chat", "--at", "2026-01-31T12:00:00Z")
    assert verdicts(found)["budgets.pre_request"] == "passes"
    assert verdicts(found)["budgets.claims"] == (
        "claims 0.05 of 5 usd until 2026-02-01T00:00:00+00:00 (budget:team:nanousd), "
        "claims 4096 of 9000 tokens until 2026-02-01T00:00:00+00:00 (budget:team:tokens); counters are not asked"
    )


@pytest.mark.parametrize(
    "roles, end",
    [
        (["a"], "sent to first: GET http://127.0.0.1:1/x"),
        (["b"], "refused: 403 role_required: agent 'first' needs the role a"),
        ([], "refused: 403 role_required: agent 'first' needs the role a"),
    ],
)
def test_an_agent_that_stands_in_for_another_is_explained_as_the_gateway_calls_it(
    roles: list[str], end: str, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    key = {"id": "k", "sha256": "0" * 64, "principal": "alice", "roles": roles}
    config = {
        "pipeline": {"plugins": ["api_keys", "roles", "routing"]},
        "agents": {
            "first": {"urls": ["http://127.0.0.1:1"], "required_role": "a", "fallback": ["second"], "priority": 2},
            "second": {"url": "http://127.0.0.1:2", "required_role": "b", "priority": 1},
        },
        "plugins": {"api_keys": {"keys": [key]}},
    }
    file.write_text(tomli_w.dumps(config))
    assert explain(file, "--as", "alice", "--agent", "first", "GET", "/x").output.splitlines()[-1] == f"  => {end}"
