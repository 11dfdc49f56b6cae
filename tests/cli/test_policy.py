"""``aiogate policy``: cases of a team's own, and the journal run through other rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate

ROOT = Path(__file__).parents[2]
KEY = "0" * 64
CONFIG = f"""\
[pipeline]
plugins = ["api_keys", "policies"]
[journal]
dir = "journal"
[agents.support]
url = "http://127.0.0.1:8001"
[agents.payroll]
url = "http://127.0.0.1:8001"
[[plugins.api_keys.keys]]
id = "k-alice"
sha256 = "{KEY}"
principal = "alice"
roles = ["analyst"]
department = "data"
[[plugins.api_keys.keys]]
id = "k-bob"
sha256 = "{KEY}"
principal = "bob"
roles = ["contractor"]
"""


def rule(name: str, deny: str, **more: Any) -> str:
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in {"name": name, "deny": deny, **more}.items()]
    return "\n".join(["[[plugins.policies.rule]]", *lines, ""])


def run(*args: object) -> Result:
    return CliRunner().invoke(_aiogate, ["policy", *map(str, args)])


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write a config with these rules."""

    def write(*rules: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(CONFIG + "".join(rules))
        return path

    return write


@pytest.fixture
def cases(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file of cases for that config."""

    def write(text: str) -> Path:
        path = tmp_path / "policies_test.toml"
        path.write_text(f'config = "gateway.toml"\n{text}')
        return path

    return write


Write = Callable[..., Path]
STAY_OUT = rule("stay-out", '"contractor" in principal.roles', agents=["payroll"], message="Stay out.")
WRONG = '[[case]]\nname = "bob may"\nprincipal = "bob"\nagent = "payroll"\nrequest = "GET /x"\nexpect = "allow"\n'
RIGHT = WRONG.replace("allow", "deny").replace("may", "may not") + 'rule = "stay-out"\n'


def test_the_cases_that_are_shipped_come_out_as_expected() -> None:
    result = run("test", ROOT / "conf/policies_test.toml")
    assert (result.exit_code, result.output.split(": ", 1)[1]) == (0, "4 cases, all as expected\n")


def test_a_case_that_comes_out_otherwise_is_shown_as_a_difference(config: Write, cases: Write) -> None:
    config(STAY_OUT)
    result = run("test", cases(WRONG + RIGHT))
    assert result.exit_code == 1
    assert result.output.startswith(
        "bob may\n    bob -> payroll  GET /x\n  - allow\n  + deny by stay-out\n    policy_denied: Stay out.\n"
    )
    assert "bob may not" not in result.output
    assert result.output.endswith(": 2 cases, 1 failed\n")


def test_another_rule_than_the_expected_one_is_a_difference(config: Write, cases: Write) -> None:
    config(rule("all", "true"), STAY_OUT)
    result = run("test", cases(RIGHT))
    assert result.exit_code == 1
    assert "  - deny by stay-out\n  + deny by all\n" in result.output


def test_scripts_get_json(config: Write, cases: Write) -> None:
    config(STAY_OUT)
    result = run("test", cases(WRONG + RIGHT), "--json")
    found = orjson.loads(result.stdout)
    assert (result.exit_code, found["failed"], [case["passed"] for case in found["cases"]]) == (1, 1, [False, True])
    assert found["cases"][0]["got"] == {
        "verdict": "deny",
        "rule": "stay-out",
        "code": "policy_denied",
        "shadow": [],
    }


@pytest.mark.parametrize(
    "fact, deny",
    [
        ('roles = ["x"]', '"x" in principal.roles'),
        ('department = "x"', 'principal.department == "x"'),
        ('attributes = { team = "x" }', 'principal.attributes.team == "x"'),
        ('client = "10.0.0.7"', 'ip_in(client.ip, ["10.0.0.0/8"])'),
        ("at = 2026-01-31T03:00:00+01:00", "now.hour == 2"),
        ('headers = { X-Team = "x" }', '"x-team" in request.headers && request.headers["x-team"] == "x"'),
        ("body = '{\"n\": 1}'", "has(body.n) && body.n == 1"),
        ("budget_share = 0.9", "usage.budget_share > 0.5"),
        ('request = "PUT /x?debug=1"', 'request.method == "PUT" && "debug" in request.query'),
    ],
)
def test_a_case_gives_what_a_condition_sees(fact: str, deny: str, config: Write, cases: Write) -> None:
    config(rule("r", deny, needs_body="body" in deny))
    case = f'[[case]]\nname = "c"\nprincipal = "bob"\nagent = "support"\nexpect = "deny"\nrule = "r"\n{fact}\n'
    result = run("test", cases(case), "--json")
    assert orjson.loads(result.stdout)["cases"][0]["got"]["code"] == "policy_denied"


def test_a_case_may_expect_rules_in_the_shadow(config: Write, cases: Write) -> None:
    config(rule("later", "true", mode="shadow"))
    case = '[[case]]\nname = "c"\nprincipal = "bob"\nagent = "support"\nexpect = "allow"\n'
    assert run("test", cases(f'{case}shadow = ["later"]\n')).exit_code == 0
    assert run("test", cases(f"{case}shadow = []\n")).exit_code == 1


def test_a_file_that_is_not_in_order_is_told_with_every_place(config: Write, cases: Write) -> None:
    config(STAY_OUT)
    result = run("test", cases(RIGHT.replace("deny", "dney").replace("GET /x", "get x")))
    assert result.exit_code == 78
    assert (
        "case[0].expect: expected one of 'allow', 'deny' (did you mean 'deny'?), got 'dney' (line 7)" in result.stderr
    )
    assert "case[0].request: expected a method and a path such as 'POST /chat', got 'get x' (line 6)" in result.stderr
    result = run("test", cases(RIGHT.replace("payroll", "payrol")))
    assert (result.exit_code, "case[0].agent: there is no agent 'payrol'" in result.stderr) == (78, True)


def test_a_config_without_policies_is_told(tmp_path: Path, cases: Write) -> None:
    (tmp_path / "gateway.toml").write_text(CONFIG.replace(', "policies"', ""))
    result = run("test", cases(RIGHT))
    assert result.exit_code == 1
    assert 'the config has no policies: "policies" is not in pipeline.plugins' in result.stderr


def a_record(number: int, **facts: Any) -> dict[str, Any]:
    agent = facts.get("agent", "support")
    return {
        "time": "2026-01-05T09:00:00.000Z",
        "request_id": f"{number:032x}",
        "principal": "alice",
        "key_id": "k-alice",
        "department": "data",
        "agent": agent,
        "method": "POST",
        "path": f"/agents/{agent}/chat",
        "status": 200,
        "outcome": "completed",
        "code": None,
        "client": "10.0.0.7",
        "generation": 1,
        **facts,
    }


BOB = {"principal": "bob", "key_id": "k-bob"}
DENIED = {"status": 403, "outcome": "refused", "code": "policy_denied", "rule": "old"}
SINCE = "2026-01-01T00:00:00Z"


@pytest.fixture
def replay(tmp_path: Path, config: Write) -> Callable[..., dict[str, Any]]:
    """Run these records through these rules."""

    def of(*rules: str, records: list[dict[str, Any]]) -> dict[str, Any]:
        (tmp_path / "journal").mkdir()
        lines = [orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records]
        (tmp_path / "journal/1.jsonl").write_bytes(b"".join(lines))
        result = run("replay", "--since", SINCE, config(*rules), "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = orjson.loads(result.stdout)
        return found

    return of


Replay = Callable[..., dict[str, Any]]


def test_replay_lists_what_would_be_denied_now_by_rule_and_principal(replay: Replay) -> None:
    records = [
        a_record(1),
        a_record(2, **BOB),
        a_record(3, agent="payroll", **BOB),
        a_record(4, agent="payroll", **BOB),
    ]
    found = replay(STAY_OUT, records=records)
    assert found["exchanges"] == 4
    assert found["changes"] == [
        {"before": None, "now": "stay-out", "principal": "bob", "exchanges": 2, "example": f"{3:032x}"}
    ]
    assert (found["undecided"], found["not_replayed"]) == ([], {})


def test_replay_lists_what_would_be_denied_no_longer_or_by_another_rule(replay: Replay) -> None:
    found = replay(rule("new", 'principal.id == "bob"'), records=[a_record(1, **DENIED), a_record(2, **DENIED, **BOB)])
    assert sorted((change["before"], change["now"] or "", change["principal"]) for change in found["changes"]) == [
        ("old", "", "alice"),
        ("old", "new", "bob"),
    ]


@pytest.mark.parametrize("before", [{}, DENIED])
def test_a_verdict_that_stays_is_no_change(before: dict[str, Any], replay: Replay) -> None:
    assert replay(rule("old", "true" if before else "false"), records=[a_record(1, **before)])["changes"] == []


def test_what_something_else_has_refused_stays_refused(replay: Replay) -> None:
    limited = a_record(1, status=429, outcome="refused", code="rate_limited", rule="per-agent")
    assert replay(rule("new", "true"), records=[limited])["changes"] == []


def test_rules_in_the_shadow_change_nothing(replay: Replay) -> None:
    assert replay(rule("new", "true", mode="shadow"), records=[a_record(1)])["changes"] == []


@pytest.mark.parametrize(
    "deny, missing",
    [
        ('request.headers["x-team"] == "x"', "request.headers"),
        ('"debug" in request.query', "request.query"),
        ("request.content_length > 1000", "request.content_length"),
        ("usage.budget_share > 0.9", "usage.budget_share"),
        ("body.n == 1", "body"),
    ],
)
def test_what_the_journal_does_not_tell_leaves_a_rule_undecided(deny: str, missing: str, replay: Replay) -> None:
    found = replay(rule("r", deny, needs_body="body" in deny), records=[a_record(1)])
    assert found["undecided"] == [{"rules": "r", "missing": missing, "exchanges": 1}]
    assert found["changes"] == []


def test_what_is_known_may_decide_without_what_is_not(replay: Replay) -> None:
    header = '"x-team" in request.headers'
    found = replay(
        rule("a", f'principal.id == "bob" && {header}'), rule("b", 'principal.id == "alice"'), records=[a_record(1)]
    )
    assert [change["now"] for change in found["changes"]] == ["b"]
    assert found["undecided"] == []


def test_the_roles_of_a_principal_that_the_config_does_not_know_are_not_guessed(replay: Replay) -> None:
    found = replay(
        rule("r", '!("analyst" in principal.roles)'), records=[a_record(1, principal="carol", key_id="gone")]
    )
    assert found["undecided"] == [{"rules": "r", "missing": "principal.roles", "exchanges": 1}]


def test_a_path_that_was_cut_is_not_known(replay: Replay) -> None:
    records = [a_record(1, path="/agents/support/adm…"), a_record(2, path="/agents/support/admin")]
    found = replay(rule("r", 'request.path == "/admin"'), records=records)
    assert [change["example"] for change in found["changes"]] == [f"{2:032x}"]
    assert found["undecided"] == [{"rules": "r", "missing": "request.path", "exchanges": 1}]


@pytest.mark.parametrize(
    "deny, facts, denied",
    [
        ("now.hour == 9", [{}, {"time": "2026-01-05T10:00:00.000Z"}], 1),
        ('time_between(now.time, "09:00", "09:01")', [{}, {"time": "2026-01-05T09:01:00.000Z"}], 1),
        ('now.time < timestamp("2026-01-05T09:00:00.5Z")', [{}, {"time": "2026-01-05T09:00:00.700Z"}], 1),
        ("now.weekday == 1", [{}, {"time": "2026-01-06T09:00:00.000Z"}], 1),
        ('ip_in(client.ip, ["10.0.0.0/8"])', [{}, {"client": "192.0.2.1"}], 1),
        ('request.method == "POST"', [{}, {"method": "GET"}], 1),
        ('request.path == "/chat"', [{}, {"path": "/agents/support/x"}], 1),
        ('principal.department == "data"', [{}, {"department": "sales"}], 1),
        ('principal.id == "alice"', [{}, BOB], 1),
        ('agent.id == "support"', [{}, {"agent": "payroll"}], 1),
        ("true", [{}, {}], 2),
    ],
)
def test_a_verdict_is_kept_only_for_records_that_do_not_differ_in_what_counts(
    deny: str, facts: list[dict[str, Any]], denied: int, replay: Replay
) -> None:
    found = replay(rule("r", deny), records=[a_record(number, **one) for number, one in enumerate(facts)])
    assert sum(change["exchanges"] for change in found["changes"]) == denied


def test_what_cannot_be_replayed_is_counted_with_its_reason(replay: Replay) -> None:
    found = replay(
        rule("r", "true"),
        records=[a_record(1, principal=None), a_record(2, agent="gone"), a_record(3, path="/agents")],
    )
    assert found["not_replayed"] == {
        "refused before anybody asked the rules": 1,
        "of an agent that the config does not have": 1,
        "with a path that is no agent's": 1,
    }
    assert found["changes"] == []


def test_people_get_a_list(tmp_path: Path, config: Write) -> None:
    (tmp_path / "journal").mkdir()
    records = [a_record(1, agent="payroll", **BOB), a_record(2, **DENIED), a_record(3, principal=None)]
    (tmp_path / "journal/1.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in records))
    assert run("replay", "--since", SINCE, config(STAY_OUT)).output.splitlines() == [
        "3 exchanges since 2026-01-01 00:00 UTC: 2 change",
        "  denied now, by stay-out: 1",
        f"             1  bob                      e.g. {1:032x}",
        "  denied no longer, by old: 1",
        f"             1  alice                    e.g. {2:032x}",
        "  not replayed, refused before anybody asked the rules: 1",
    ]


def test_each_exchange_whose_verdict_changes_is_told_on_request(tmp_path: Path, config: Write) -> None:
    (tmp_path / "journal").mkdir()
    records = [a_record(1, agent="payroll", **BOB), a_record(2, **DENIED), a_record(3)]
    (tmp_path / "journal/1.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in records))
    call = ("replay", "--since", SINCE, "--each", config(STAY_OUT))
    one, other, sums, *_ = run(*call).output.splitlines()
    assert one.endswith(f"{1:032x}  bob -> payroll  POST /agents/payroll/chat: denied now, by stay-out")
    assert other.endswith(f"{2:032x}  alice -> support  POST /agents/support/chat: denied no longer, by old")
    assert sums.startswith("3 exchanges since ")
    *told, sums = map(orjson.loads, run(*call, "--json").output.splitlines())
    assert [(one["request_id"], one["before"], one["now"]) for one in told] == [
        (f"{1:032x}", None, "stay-out"),
        (f"{2:032x}", "old", None),
    ]
    assert sums["exchanges"] == 3


@pytest.mark.parametrize("since", ["7", "yesterday", "2026-01-01", "7d ", "999999d"])
def test_a_since_that_is_none_is_said_in_one_sentence(since: str, config: Write) -> None:
    result = run("replay", "--since", since, config(STAY_OUT))
    assert result.exit_code == 2
    assert "Error: --since: expected 7d, 12h, 30m or a time such as " in result.stderr


def test_a_journal_that_is_not_there_is_said_in_one_sentence(config: Write) -> None:
    result = run("replay", config(STAY_OUT))
    assert (result.exit_code, "there is no journal in" in result.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [["--help"], ["test", "--help"], ["replay", "--help"]], ids=" ".join)
def test_help_shows_an_example_before_the_options(arguments: list[str]) -> None:
    output = run(*arguments).output
    assert output.index("Example:\n") < output.index("Options:")
