"""``limits``: what an exchange claims, and on which counters."""

from pathlib import Path
from typing import Any

import pytest

from aiogate import Claim, Counted, Principal, Rate
from aiogate.builtin import limits as module
from aiogate.builtin.limits import Limits, LimitsConfig
from aiogate.settings.structure import Structurer
from tests.exchanges import an_agent, an_exchange

ALICE = Principal(id="alice", roles=frozenset({"analyst", "agent_user"}), department="data", key_id="k-alice")
BOB = Principal(id="bob", roles=frozenset({"agent_user"}), department="sales", key_id="k-bob")


def problems_of(*limits: dict[str, Any]) -> list[str]:
    problems: list[object] = []
    Structurer(Path()).structure({"limit": list(limits)}, LimitsConfig, "plugins.limits", problems.append)
    return [str(problem) for problem in problems]


def plugin(*limits: dict[str, Any]) -> Limits:
    """Return the plugin for ``[[plugins.limits.limit]]`` tables as a config writes them."""
    config = Structurer(Path()).structure({"limit": list(limits)}, LimitsConfig, "plugins.limits", print)
    assert config is not None
    return Limits(config)


def claims_of(
    limits: Limits,
    principal: Principal | None = ALICE,
    agent: str = "support",
    client_address: str = "127.0.0.1",
    **facts: Any,
) -> list[Claim]:
    exchange = an_exchange(principal=principal, agent=an_agent(agent, **facts), client_address=client_address)
    return list(limits.claims(exchange))


def counters(limits: Limits, *exchanges: dict[str, Any]) -> set[str]:
    """Return the counters that one exchange after the other claims."""
    return {claim.counter for facts in exchanges for claim in claims_of(limits, **facts)}


def matches(match: dict[str, Any], principal: Principal | None = ALICE, **facts: Any) -> bool:
    return bool(claims_of(plugin({"name": "l", "rate": "1/s", "match": match}), principal, **facts))


def test_an_agents_rate_limit_is_a_window_per_principal_and_agent() -> None:
    [claim] = claims_of(plugin(), rate_limit=Rate(100, 60.0))
    assert (claim.name, claim.kind, claim.limit, claim.seconds, claim.amount) == (
        "rate_limit",
        Counted.WINDOW,
        100,
        60.0,
        1,
    )
    everybody = [{"principal": ALICE}, {"principal": BOB}, {"agent": "search"}, {"principal": ALICE}]
    assert len(counters(plugin(), *({**one, "rate_limit": Rate(100, 60.0)} for one in everybody))) == 3


def test_an_agents_concurrency_is_a_lease_per_principal_and_agent() -> None:
    [claim] = claims_of(plugin(), concurrency=3)
    assert (claim.name, claim.kind, claim.limit, claim.amount) == ("concurrency", Counted.LEASE, 3, 1)
    assert len(counters(plugin(), {"concurrency": 3}, {"concurrency": 3, "principal": BOB})) == 2


def test_without_limits_nothing_is_claimed() -> None:
    assert claims_of(plugin()) == []


def test_a_limit_of_the_config_is_claimed_by_its_name() -> None:
    [claim] = claims_of(plugin({"name": "everybody", "rate": "1000/hour"}))
    assert (claim.name, claim.kind, claim.limit, claim.seconds) == ("everybody", Counted.WINDOW, 1000, 3600.0)
    [claim] = claims_of(plugin({"name": "at_once", "concurrency": 20}))
    assert (claim.name, claim.kind, claim.limit) == ("at_once", Counted.LEASE, 20)


def test_a_limit_may_have_both_a_rate_and_a_concurrency() -> None:
    claims = claims_of(plugin({"name": "both", "rate": "5/s", "concurrency": 2}))
    assert [(claim.name, claim.kind) for claim in claims] == [
        ("both", Counted.WINDOW),
        ("both.concurrency", Counted.LEASE),
    ]


def test_a_limit_without_per_has_one_counter_for_all() -> None:
    limits = plugin({"name": "l", "rate": "1/s"})
    assert len(counters(limits, {}, {"principal": BOB}, {"agent": "search"}, {"client_address": "::1"})) == 1


@pytest.mark.parametrize(
    "per, different, same",
    [
        ("principal", {"principal": BOB}, {"agent": "search"}),
        ("department", {"principal": BOB}, {"principal": Principal(id="another", department="data")}),
        ("agent", {"agent": "search"}, {"principal": BOB}),
        ("key", {"principal": BOB}, {"principal": Principal(id="x", key_id="k-alice")}),
        ("client_address", {"client_address": "10.0.0.7"}, {"principal": BOB}),
    ],
)
def test_a_limit_has_a_counter_for_each_value_of_per(per: str, different: dict[str, Any], same: dict[str, Any]) -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": [per]})
    assert len(counters(limits, {}, different)) == 2
    assert len(counters(limits, {}, same)) == 1


def test_a_limit_has_a_counter_for_each_combination_of_per() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["department", "agent"]})
    exchanges = [{"principal": who, "agent": agent} for who in (ALICE, BOB) for agent in ("support", "search")]
    assert len(counters(limits, *exchanges)) == 4


def test_an_ipv4_address_counts_the_same_when_a_socket_of_ipv6_writes_it() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["client_address"]})
    assert len(counters(limits, {"client_address": "10.0.0.7"}, {"client_address": "::ffff:10.0.0.7"})) == 1


def test_per_role_claims_once_for_each_role() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["role"]})
    assert len(counters(limits, {"principal": ALICE})) == 2
    assert len(counters(limits, {"principal": ALICE}, {"principal": BOB})) == 2
    assert counters(limits, {"principal": Principal(id="nobody")}) == set()


def test_per_role_claims_only_for_roles_that_match() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["role"], "match": {"role": ["analyst", "admin"]}})
    assert len(claims_of(limits, ALICE)) == 1
    assert claims_of(limits, BOB) == []


@pytest.mark.parametrize(
    "match",
    [
        {"principal": "alice"},
        {"principal": ["somebody", "alice"]},
        {"role": "analyst"},
        {"department": "data"},
        {"agent": ["support"]},
        {"key": "k-alice"},
        {"client_address": "127.0.0.1"},
        {"client_address": ["10.0.0.0/8", "127.0.0.0/8"]},
        {"principal": "alice", "agent": "support", "role": ["analyst", "admin"]},
    ],
    ids=str,
)
def test_a_limit_is_for_exchanges_that_fit_in_everything_given(match: dict[str, Any]) -> None:
    assert matches(match)
    assert not matches(match, BOB, agent="search", client_address="192.0.2.1")


def test_one_thing_that_does_not_fit_is_enough() -> None:
    assert not matches({"principal": "alice", "agent": "search"})


def test_an_address_that_cannot_be_read_is_in_no_network() -> None:
    assert not matches({"client_address": "0.0.0.0/0"}, client_address="")
    assert matches({"client_address": "10.0.0.0/8"}, client_address="::ffff:10.1.2.3")


def test_a_caller_whom_nobody_has_authenticated_is_limited_too() -> None:
    assert len(claims_of(plugin({"name": "l", "rate": "1/s"}), None, rate_limit=Rate(1, 1.0))) == 2
    assert not matches({"department": "data"}, None)


def test_no_name_of_a_principal_leads_to_the_counter_of_another() -> None:
    limits = plugin(
        {"name": "alice", "rate": "1/s", "per": ["agent"]},
        {"name": "l", "rate": "1/s", "per": ["principal", "agent"]},
        {"name": "m", "rate": "1/s", "per": ["department"]},
    )
    whos = ["alice", "alice:support", "alice', 'support", 'alice", "support', "alice\\", "agent", "None", "", "\udcff"]
    agents = ["support", "support:x", "c", "x"]
    pairs = [(Principal(id=who, department=who), agent) for who in whos for agent in agents]
    per_pair = [
        {claim.counter for claim in claims_of(limits, who, agent, rate_limit=Rate(1, 1.0)) if claim.name != "alice"}
        for who, agent in pairs
    ]
    assert len(set().union(*per_pair)) == 2 * len(pairs) + len(whos)
    ours = {claim.counter for agent in agents for claim in claims_of(limits, ALICE, agent) if claim.name == "alice"}
    assert len(ours) == len(agents)
    assert ours.isdisjoint(set().union(*per_pair))


def test_no_department_is_not_a_department_of_that_name() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["department"]})
    departments = [None, "", "None"]
    assert len(counters(limits, *({"principal": Principal(id="a", department=one)} for one in departments))) == 3


def test_another_amount_after_a_reload_counts_on() -> None:
    before, after = ({"name": "l", "rate": rate, "per": ["principal"]} for rate in ("10/minute", "20/minute"))
    assert counters(plugin(before), {}) == counters(plugin(after), {})


def test_claims_are_made_once() -> None:
    limits = plugin({"name": "l", "rate": "1/s", "per": ["client_address"]})
    agent = an_agent("support")
    here, there = an_exchange(agent=agent), an_exchange(agent=agent, client_address="::1")
    assert limits.claims(here) is limits.claims(here)
    assert limits.claims(here) is not limits.claims(there)


def test_an_agent_that_was_configured_anew_gets_claims_anew() -> None:
    limits = plugin({"name": "other", "rate": "1/s", "match": {"agent": "other"}})
    before, after = (an_exchange(agent=an_agent("support", rate_limit=Rate(limit, 60.0))) for limit in (1, 2))
    assert [claim.limit for claim in limits.claims(before)] == [1]
    assert [claim.limit for claim in limits.claims(after)] == [2]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 100)
    limits = plugin({"name": "l", "rate": "1/s", "per": ["client_address"]})
    for number in range(1000):
        claims_of(limits, client_address=f"10.0.{number // 250}.{number % 250}")
        assert len(limits._kept) <= 100


@pytest.mark.parametrize(
    "limits, problem",
    [
        ([{"rate": "1/s"}], "limit[0].name: is required"),
        ([{"name": "a b", "rate": "1/s"}], "limit[0].name: expected 1 to 64 letters, digits"),
        ([{"name": "a"}], "limit[0]: expected a rate, tokens, a concurrency or several of them"),
        ([{"name": "a", "rate": "5 per min"}], "limit[0].rate: expected a rate such as"),
        ([{"name": "a", "concurrency": 0}], "limit[0].concurrency: "),
        ([{"name": "a", "rate": "1/s", "per": ["princpal"]}], "did you mean 'principal'?"),
        ([{"name": "a", "rate": "1/s", "match": {"client_address": "10.0.0.1/8"}}], "has host bits set"),
        ([{"name": "a", "rate": "1/s", "match": {"rol": "x"}}], "did you mean 'role'?"),
        ([{"name": "a", "rate": "1/s"}, {"name": "a", "concurrency": 1}], "limit: 'a' is the name of two limits"),
        (
            [{"name": "a", "rate": "1/s", "concurrency": 1}, {"name": "a.concurrency", "rate": "1/s"}],
            "limit: 'a.concurrency' is the name of two limits",
        ),
        ([{"name": "rate_limit", "rate": "1/s"}], "limit: 'rate_limit' is the name of the agents' own limit"),
    ],
)
def test_a_mistake_is_a_problem_with_its_path(limits: list[dict[str, Any]], problem: str) -> None:
    [found] = problems_of(*limits)
    assert found.startswith("plugins.limits.limit")
    assert problem in found


def test_the_plugin_keeps_the_promises_of_rate_limit_token_limit_and_concurrency() -> None:
    assert Limits.enforces == {"rate_limit", "token_limit", "concurrency"}
