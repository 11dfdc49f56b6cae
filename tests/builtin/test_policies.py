"""``policies``: who is ruled out by which rule, and that whatever cannot be decided denies."""

import gc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given
from multidict import CIMultiDict

from aiogate import Clock, Exchange, Principal, Refusal
from aiogate.builtin.policies import Policies, PoliciesConfig
from aiogate.builtin.policies.rules import language
from aiogate.errors import Refused, refusal
from aiogate.settings.structure import Structurer
from tests.exchanges import an_agent, an_exchange

ALICE = Principal(
    id="alice",
    roles=frozenset({"analyst", "agent_user"}),
    department="data",
    key_id="k-alice",
    attributes={"team": "growth"},
)
BOB = Principal(id="bob", roles=frozenset({"contractor"}), department="sales")
BERLIN = ZoneInfo("Europe/Berlin")  # read here: the loop reads no files
MONDAY_NINE = 1_767_603_600.0  # 2026-01-05T09:00:00Z


def problems_of(*rules: dict[str, Any], **settings: Any) -> list[str]:
    problems: list[object] = []
    Structurer(Path()).structure({"rule": list(rules), **settings}, PoliciesConfig, "plugins.policies", problems.append)
    return [str(problem) for problem in problems]


def plugin(*rules: dict[str, Any], **settings: Any) -> Policies:
    """Return the plugin for ``[[plugins.policies.rule]]`` tables as a config writes them."""
    named = [{"name": f"rule-{index}", **rule} for index, rule in enumerate(rules)]
    config = Structurer(Path()).structure({"rule": named, **settings}, PoliciesConfig, "plugins.policies", print)
    assert config is not None
    return Policies(config)


def exchange_of(principal: Principal | None = ALICE, **facts: Any) -> Exchange:
    clock = Clock(wall=lambda: MONDAY_NINE)
    return an_exchange(**{"principal": principal, "clock": clock, "method": "POST", **facts})


async def refused(policies: Policies, exchange: Exchange) -> Refusal | None:
    """Return why nobody may serve the exchange; None when somebody may."""
    await policies.pre_request(exchange)
    return None if exchange.candidates else exchange.softest_refusal


async def code(deny: str, principal: Principal | None = ALICE, **facts: Any) -> str | None:
    """Return the code of the refusal by one condition."""
    rule = {"deny": deny, "needs_body": "body" in deny}
    why = await refused(plugin(rule, timezone=BERLIN.key), exchange_of(principal, **facts))
    return why.code if why is not None else None


async def test_without_a_rule_everybody_goes_on() -> None:
    assert await refused(plugin(), exchange_of()) is None


async def test_a_rule_that_is_true_denies_with_its_name_and_message() -> None:
    rule = {"name": "stay-out", "deny": '"contractor" in principal.roles', "message": "Contractors stay out."}
    why = await refused(plugin(rule), exchange_of(BOB))
    assert why is not None
    assert (why.status, why.code, why.rule, why.detail) == (403, "policy_denied", "stay-out", "Contractors stay out.")
    assert await refused(plugin(rule), exchange_of(ALICE)) is None


async def test_a_rule_without_a_message_is_named_in_the_detail() -> None:
    why = await refused(plugin({"name": "closed", "deny": "true"}), exchange_of())
    assert why is not None
    assert why.detail == "the rule 'closed' denies it"


@pytest.mark.parametrize(
    "deny",
    [
        'principal.id == "alice"',
        '"analyst" in principal.roles',
        'principal.department == "data"',
        'principal.key_id == "k-alice"',
        'principal.cost_center == ""',
        'principal.attributes.team == "growth"',
        "!has(principal.attributes.other)",
        'agent.id == "support"',
        '"sql" in agent.capabilities',
        '"beta" in agent.tags',
        'agent.cost_center == "cc"',
        'client.ip == "127.0.0.1"',
        'request.method == "POST"',
        'request.path == "/x"',
        'request.headers["x-team"] == "a, b"',
        '"1" in request.query.debug && request.query["a b"] == [""]',
        "request.content_length == 7",
        'now.time == timestamp("2026-01-05T09:00:00Z")',
        "now.weekday == 1",
        "now.hour == 10",
        'time_between(now.time, "10:00", "10:01")',
        "usage.budget_share > 0.5",
        'body.model == "m" && body.messages[0].n == 1',
        'ip_in(client.ip, ["127.0.0.0/8"])',
        'glob(request.path, "/*")',
    ],
)
async def test_a_condition_sees_the_exchange(deny: str) -> None:
    facts: dict[str, Any] = {
        "candidates": [an_agent(capabilities=("sql",), tags=("beta",), cost_center="cc")],
        "request_headers": CIMultiDict([("X-Team", "a"), ("x-team", "b")]),
        "query": "debug=0&debug=1&a%20b=",
        "content_length": 7,
        "budget_share": 0.75,
        "body": b'{"model":"m","messages":[{"n":1}]}',
    }
    assert await code(deny, **facts) == "policy_denied"
    assert await code(f"!({deny})", **facts) is None


@pytest.mark.parametrize(
    "path, seen",
    [
        ("", "/"),
        ("/", "/"),
        ("/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("//admin", "/admin"),
        ("/./admin", "/admin"),
        ("/%2Fadmin/", "/admin/"),
        ("/%2e/admin", "/admin"),
        ("/%FF", "/\ufffd"),
        ("/\udcff", "/\ufffd"),
        ("/%252e", "/%2e"),
    ],
)
async def test_no_spelling_of_a_path_gets_round_a_rule(path: str, seen: str) -> None:
    assert await code(f'request.path == "{seen}"', path=path) == "policy_denied"


TEN = "[1,2,3,4,5,6,7,8,9,10]"
ENDLESS = f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, {TEN}.all(e, agent.id != '')))))"


@pytest.mark.parametrize(
    "deny",
    [
        'principal.attributes.nobody == "x"',
        'request.headers["x-absent"] == "x"',
        "request.content_length > 1000",
        "1 / (now.hour - 10) == 1",
        "usage.budget_share > 0.9",
        "body.flag",
        "body.n == 1",
        "ip_in(client.ip, [principal.id])",
        'ip_in(principal.id, ["10.0.0.0/8"])',
        'time_between(now.time, principal.id, "10:00")',
        ENDLESS,
    ],
)
async def test_what_cannot_be_decided_denies_with_its_own_code(deny: str, caplog: pytest.LogCaptureFixture) -> None:
    facts: dict[str, Any] = {"content_length": None, "body": b'{"flag":"yes"}'}
    with caplog.at_level(logging.WARNING):
        assert await code(deny, **facts) == "policy_failed"
    assert "rule 'rule-0' failed for agent 'support', which denies: " in caplog.text
    assert await code(f"!({deny})", **facts) == "policy_failed"


async def test_a_caller_whom_nobody_has_authenticated_has_nothing_that_a_rule_could_look_at() -> None:
    """Rules that stand before the plugin that authenticates must not see nobody's empty roles."""
    assert await code('"contractor" in principal.roles', None) == "policy_failed"
    assert await code('principal.department == "sales"', None) == "policy_failed"


async def test_an_address_that_nobody_knows_fails() -> None:
    assert await code('!ip_in(client.ip, ["0.0.0.0/0"])', client_address="") == "policy_failed"


@pytest.mark.parametrize("body", [b"no json", b'{"a":', b'"\xff"'])
async def test_a_body_that_is_no_json_fails(body: bytes) -> None:
    assert await code("has(body.x) && body.x == 1", body=body) == "policy_failed"


async def test_no_body_is_an_empty_object() -> None:
    assert await code("has(body.x) && body.x == 1", body=b"") is None


async def test_the_failure_is_not_told_to_the_client() -> None:
    why = await refused(plugin({"name": "r", "deny": "principal.attributes.secret == '1'"}), exchange_of())
    assert why is not None
    assert "secret" not in why.detail


async def test_a_value_that_cel_cannot_take_fails_only_the_rules_that_need_it() -> None:
    strange = Principal(id="\ud800", roles=frozenset({"analyst"}))
    rules = plugin({"deny": '"contractor" in principal.roles'}, {"deny": 'principal.id == "x"'})
    why = await refused(rules, exchange_of(strange))
    assert why is not None
    assert (why.code, why.rule) == ("policy_failed", "rule-1")


class Body:
    """A body on its way, that says how far it may be read."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.bounds: list[int] = []

    async def read(self, max_bytes: int) -> bytes:
        self.bounds.append(max_bytes)
        if len(self.body) > max_bytes:
            raise Refused(refusal("body_too_large", "too large"))
        return self.body


async def test_the_body_is_read_only_where_a_rule_needs_it() -> None:
    body = Body(b'{"n":1}')
    rules = plugin({"deny": "body.n == 1", "needs_body": True, "agents": ["payroll"]}, max_body=100)
    assert await refused(rules, exchange_of(request_body=body)) is None
    assert body.bounds == []
    why = await refused(rules, exchange_of(request_body=body, candidates=[an_agent("payroll")]))
    assert why is not None
    assert (why.rule, body.bounds) == ("rule-0", [100])


async def test_a_body_beyond_max_body_is_refused_as_too_large() -> None:
    rules = plugin({"deny": "body.n == 1", "needs_body": True}, max_body=3)
    with pytest.raises(Refused) as raised:
        await refused(rules, exchange_of(request_body=Body(b'{"n":1}')))
    assert raised.value.refusal.code == "body_too_large"


async def test_a_rule_is_for_its_agents_alone_and_candidates_are_ruled_out_one_by_one() -> None:
    rules = plugin({"deny": "true", "agents": ["payroll", "analytics"]}, {"deny": 'agent.id == "search"'})
    names = ["support", "payroll", "search", "analytics", "other"]
    exchange = exchange_of(candidates=[an_agent(name) for name in names])
    assert await refused(rules, exchange) is None
    assert [agent.id for agent in exchange.candidates] == ["support", "other"]


async def test_the_first_rule_that_denies_is_named() -> None:
    rules = plugin({"deny": "false"}, {"deny": "true", "agents": ["support"]}, {"deny": "true"})
    why = await refused(rules, exchange_of())
    assert why is not None
    assert why.rule == "rule-1"


async def test_a_rule_that_fails_denies_before_one_that_is_true_behind_it() -> None:
    why = await refused(plugin({"deny": "principal.attributes.x == '1'"}, {"deny": "true"}), exchange_of())
    assert why is not None
    assert (why.code, why.rule) == ("policy_failed", "rule-0")


def served(policies: Policies, exchange: Exchange, agent: str = "support") -> tuple[str, ...]:
    """Return the rules in the shadow that would have refused the exchange."""
    exchange.agent = an_agent(agent)
    assert not list(policies.claims(exchange))
    return exchange.shadow_rules


async def test_a_rule_in_the_shadow_refuses_nobody_and_is_named() -> None:
    rules = plugin(
        {"deny": "true", "mode": "shadow"},
        {"deny": "false", "mode": "shadow"},
        {"deny": "false"},
        {"deny": "true", "mode": "shadow", "agents": ["payroll"]},
        {"deny": 'agent.id == "support"', "mode": "shadow"},
    )
    exchange = exchange_of()
    assert await refused(rules, exchange) is None
    assert served(rules, exchange) == ("rule-0", "rule-4")


async def test_a_rule_in_the_shadow_that_fails_would_have_refused() -> None:
    rules = plugin({"deny": "principal.attributes.x == '1'", "mode": "shadow"})
    exchange = exchange_of()
    assert await refused(rules, exchange) is None
    assert served(rules, exchange) == ("rule-0",)


async def test_a_rule_in_the_shadow_may_need_the_body() -> None:
    rules = plugin({"deny": "body.n == 1", "mode": "shadow", "needs_body": True})
    exchange = exchange_of(request_body=Body(b'{"n":1}'))
    await refused(rules, exchange)
    assert served(rules, exchange) == ("rule-0",)


def test_when_another_agent_is_tried_the_shadow_is_that_agents() -> None:
    rules = plugin({"deny": "true", "mode": "shadow", "agents": ["payroll"]})
    exchange = exchange_of()
    assert served(rules, exchange, "payroll") == ("rule-0",)
    assert served(rules, exchange, "support") == ()


ATOMS = ("true", "false", "principal.attributes.x == '1'", 'agent.id == "a"', '"analyst" in principal.roles')
MEANS = {
    "true": lambda _: True,
    "false": lambda _: False,
    ATOMS[2]: lambda _: None,
    ATOMS[3]: lambda agent: agent == "a",
    ATOMS[4]: lambda _: True,
}


def naive(rules: list[dict[str, Any]], agent: str) -> tuple[str, str] | None:
    """Say by which rule an agent is ruled out, and with which code."""
    for index, rule in enumerate(rules):
        if rule["mode"] == "enforce" and (not rule["agents"] or agent in rule["agents"]):
            meant = MEANS[rule["deny"]](agent)
            if meant is not False:
                return f"rule-{index}", "policy_failed" if meant is None else "policy_denied"
    return None


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "deny": st.sampled_from(("false",) * 6 + ATOMS),
            "agents": st.lists(st.sampled_from("abc"), max_size=2),
            "mode": st.sampled_from(("enforce", "enforce", "shadow")),
        }
    ),
    max_size=150,
)


@given(rules=RULES)
def test_the_first_match_wins_whatever_rules_there_are(rules: list[dict[str, Any]]) -> None:
    """Rules are asked together and by agent; it must look as if they were asked one by one."""
    exchange = exchange_of(candidates=[an_agent(name) for name in "abcd"])
    with pytest.raises(StopIteration):
        plugin(*rules).pre_request(exchange).send(None)
    expected = {name: naive(rules, name) for name in "abcd"}
    assert [agent.id for agent in exchange.candidates] == [name for name in "abcd" if expected[name] is None]
    found = [(why.rule, why.code) for why in exchange.ruled_out]
    assert found == [why for why in expected.values() if why is not None]


@pytest.mark.parametrize(
    "deny",
    [
        'glob("ip_in(client.ip, [])", "ip_in*[])")',
        "glob('a\\'b), (', 'a?b), (')",
        r'''glob("""a"b""", r"""a"b""") && glob(r"\d", "??")''',
        'glob("a", // ip_in(\n "?")',
        'glob(request.path, "/x") && !glob(request.path, "/y") || glob(request.path, "/z")',
        'glob([{"a": "b,c"}][0]["a"], "b,c")',
        'glob(glob("a", "a") ? "x" : "y", "x")',
        '[1, 2].exists(n, n == 2 && glob(request.path, "/x"))',
    ],
)
async def test_a_call_is_found_wherever_it_stands(deny: str) -> None:
    assert await code(deny) == "policy_denied"
    assert await code(f"!({deny}\n)") is None


async def test_a_call_that_fails_matters_only_where_it_is_needed() -> None:
    assert await code('ip_in(principal.id, ["::/0"]) && false') is None
    assert await code('ip_in(principal.id, ["::/0"]) || true') == "policy_denied"


def test_a_call_on_a_variable_of_a_macro_is_a_problem() -> None:
    [problem] = problems_of({"name": "r", "deny": 'principal.roles.exists(r, glob(r, "x*"))'})
    assert "glob takes no variable of exists(), all(), filter() or map()" in problem


async def test_no_function_is_called_by_cel_itself() -> None:
    """cel-expr-python 0.1.3 leaks the arguments of every call."""
    rules = plugin({"deny": '!ip_in(client.ip, ["127.0.0.0/8"]) || glob(request.path, "/y*")'})
    exchange = exchange_of()
    assert await refused(rules, exchange) is None
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        await rules.pre_request(exchange)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def above(text: str, marked: str) -> str:
    """Return a line with carets below what is marked, as they stand below a problem."""
    return f"      {text}\n      {' ' * text.index(marked)}{'^' * len(marked)}"


def mistakes() -> Iterator[tuple[str, str, str]]:
    yield 'agent.idd == "x"', "there is no 'agent.idd'; did you mean 'agent.id'?", "agent.idd"
    yield 'zzz == "x"', "there is no 'zzz'; there are: a2a, agent, ", "zzz"
    yield "body.x == 1", "'body' is only there where the rule says needs_body = true", "body.x"
    yield 'now.weekday == "monday"', "'==' does not go with (int, string); a number has no quotes", "=="
    yield 'principal.roles == "x"', '(list(string), string); a list is asked "x" in principal.roles', "=="
    yield 'principal.roles.contains("x")', '; a list is asked "x" in principal.roles', "contains"
    yield 'client.ip in "x"', "'in' does not go with (string, string); behind 'in' stands a list", "in"
    yield 'now.time > "10:00"', "'>' does not go with (timestamp, string); ask time_between", ">"
    yield "!principal.roles", "; it goes with what is true or false; an empty list is size(...) == 0", "!"
    yield 'ip_in(client.ip, "10.0.0.0/8")', "'ip_in' does not go with (string, string); it takes (string, list", "ip_in"
    yield "glob(request.path)", "'glob' takes (string, string)", "glob"
    yield 'agent.id = "x"', "two values are compared by ==", "="
    yield "agent.id == 'x", "this text has no closing quote", "'"
    yield 'agent.id == "x" and true', "'and' is written &&", "and"
    yield "principal.id == 'x' || True", "it is written true", "True"
    yield 'not (agent.id == "x")', "'not' is written !", "not"
    yield "has(principal.atributes.x)", "did you mean 'principal.attributes'?", "principal.atributes.x"
    yield "principal.roles &&", "mismatched input the end", ""
    yield 'ip_in(client.ip, ["10.0.0.1/8"])', "10.0.0.1/8 has host bits set", '"10.0.0.1/8"'
    yield 'time_between(now.time, "8:00", "24:01")', "expected a time from '00:00' to '24:00', got '8:00'", '"8:00"'
    yield "ip_on(client.ip, [])", "there is no 'ip_on'; did you mean 'ip_in'?", "ip_on"


@pytest.mark.parametrize("deny, message, marked", list(mistakes()))
def test_a_condition_that_does_not_compile_is_shown_with_a_caret(deny: str, message: str, marked: str) -> None:
    [problem] = problems_of({"name": "r", "deny": deny})
    assert problem.startswith("plugins.policies.rule[0].deny: ")
    assert message in problem.split("\n")[0]
    assert problem.endswith(f"\n{above(deny, marked)}" if marked else "^")


def test_the_caret_stands_below_the_right_line() -> None:
    [problem] = problems_of({"name": "r", "deny": 'principal.id == "é" &&\n\tagent.idd == ""'})
    assert problem.split("\n")[1:] == ['      agent.idd == ""', "      ^^^^^^^^^"]


@pytest.mark.parametrize("deny", ["principal.id", "1", "now.time", "[true]"])
def test_a_condition_is_true_or_false(deny: str) -> None:
    [problem] = problems_of({"name": "r", "deny": deny})
    assert "expected a condition that is true or false; this one is of type " in problem
    assert problem.endswith(f"\n{above(deny, deny)}")


@pytest.mark.parametrize("deny", ["", "\n  "])
def test_an_empty_condition_is_told(deny: str) -> None:
    [problem] = problems_of({"name": "r", "deny": deny})
    assert problem.endswith("expected a condition, such as '\"contractor\" in principal.roles'; this one is empty")


@pytest.mark.parametrize(
    "rules, settings, problem",
    [
        ([{"deny": "true"}], {}, "rule[0].name: is required"),
        ([{"name": "a"}], {}, "rule[0].deny: is required"),
        ([{"name": "a b", "deny": "true"}], {}, "rule[0].name: expected 1 to 64 letters"),
        ([{"name": "a", "deny": "true", "mode": "shadwo"}], {}, "did you mean 'shadow'?"),
        ([{"name": "a", "deny": "true", "agnets": ["x"]}], {}, "did you mean 'agents'?"),
        ([{"name": "a", "deny": "true", "message": "x\ny"}], {}, "rule[0].message: expected one line"),
        ([{"name": "a", "deny": "true"}, {"name": "a", "deny": "true"}], {}, "rule: 'a' is the name of 2 rules"),
        ([], {"timezone": "Europe/Belrin"}, "timezone: expected a time zone such as 'Europe/Berlin'"),
        ([], {"timezone": "../passwd"}, "timezone: expected a time zone such as 'Europe/Berlin'"),
        ([], {"max_body": 0}, "max_body: "),
    ],
)
def test_a_mistake_is_a_problem_with_its_path(rules: Any, settings: dict[str, Any], problem: str) -> None:
    [found] = problems_of(*rules, **settings)
    assert found.startswith("plugins.policies.")
    assert problem in found


def test_every_rule_that_is_wrong_is_found_at_once() -> None:
    assert len(problems_of({"name": "a", "deny": "x"}, {"name": "b", "deny": "true"}, {"name": "c", "deny": "y"})) == 2


def test_an_agent_that_is_not_there_is_found_with_its_neighbour() -> None:
    config = PoliciesConfig(rule=plugin({"deny": "true", "agents": ["suport"]})._config.rule)
    [(place, message)] = config.check_agents({"support": an_agent()})
    assert (place, message) == ("rule[0].agents", "there is no agent 'suport'; did you mean 'support'?")


@pytest.mark.parametrize(
    "rules, places",
    [
        ([{"deny": "true"}], []),
        ([{"deny": '"x" in principal.roles'}], []),
        ([{"deny": "1 == 2"}], ["rule[0].deny"]),
        ([{"deny": 'agent.id == "suport" && principal.id == "x"'}], ["rule[0].deny"]),
        ([{"deny": 'agent.id == "support"', "agents": ["search"]}], ["rule[0].deny"]),
        ([{"deny": 'agent.id == "support"'}, {"deny": "true", "agents": ["support"]}], ["rule[1]"]),
        ([{"deny": "true", "mode": "shadow"}, {"deny": "true"}], []),
        ([{"deny": 'agent.id == "support"'}, {"deny": 'principal.id == "x"'}], []),
    ],
)
def test_a_rule_that_can_never_match_is_found(rules: Any, places: list[str]) -> None:
    agents = {name: an_agent(name) for name in ("support", "search")}
    assert [place for place, _ in plugin(*rules).warnings(agents)] == places


def test_what_the_rules_in_force_say_is_compiled_once_and_kept_no_longer_than_they_are() -> None:
    deny = [{"deny": f'glob(request.path, "/once-{n}/**") && principal.id == "x"'} for n in range(3)]
    speech = language("UTC")
    first = plugin(*deny)
    again = plugin(*deny[:2], {"deny": 'principal.id == "another one"'})
    one, other = (rules._book.enforced("any").rules for rules in (first, again))  # type: ignore[union-attr] # there are rules
    assert [mine.condition is yours.condition for mine, yours in zip(one, other, strict=True)] == [True, True, False]
    kept = len(speech._conditions), len(speech._calls), len(speech._pages)
    del first, again, one, other
    gc.collect()
    # of each kind all but the last text, which is kept for the next validation
    assert len(speech._conditions) <= kept[0] - 3
    assert len(speech._calls) <= kept[1] - 3
    assert len(speech._pages) <= kept[2] - 2


def test_cel_is_imported_only_when_there_is_a_rule() -> None:
    import subprocess  # noqa: PLC0415 - only here
    import sys  # noqa: PLC0415 - only here

    script = (
        "import sys; from aiogate.builtin.policies import Policies, PoliciesConfig; Policies(PoliciesConfig());"
        "sys.exit('cel_expr_python' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def a_thousand() -> Policies:
    """A thousand rules: 200 of everybody's, the others of a hundred agents."""
    return plugin(
        *(
            {
                "deny": f'"banned-{n}" in principal.roles || (principal.department == "d{n}" && now.hour < 3)',
                **({"agents": [f"agent-{n % 100}"]} if n >= 200 else {}),
            }
            for n in range(1000)
        )
    )


async def test_a_thousand_rules_take_an_exchange_a_handful_of_evaluations() -> None:
    """The time is measured in tests/bench; here it is counted what it is made of."""
    rules = a_thousand()
    book = rules._book
    assert book is not None
    assert len(book.enforced("agent-3").rules) == 208
    assert len(book.enforced("agent-3")._pages) == 5
    assert len(book.enforced("unnamed")._pages) == 4
