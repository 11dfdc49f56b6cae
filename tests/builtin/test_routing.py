"""``routing``: who comes first by each strategy, what is learnt from how exchanges end, what the config may say."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiogate import Agent, Clock, Exchange, Outcome
from aiogate.builtin.routing import Routing, RoutingConfig
from aiogate.errors import Problem
from aiogate.settings.structure import Structurer
from tests.exchanges import an_agent, an_exchange

STRATEGIES = ["priority", "weighted", "least_pending", "lowest_latency", "lowest_cost"]
A, B, C = (an_agent(name) for name in "abc")


def built(**table: Any) -> Routing:
    settings = Structurer(Path()).structure(table, RoutingConfig, "plugins.routing", print)
    assert settings is not None
    return Routing(settings, random=random.Random(5).random)


@attrs.define
class Street:
    """A router and the time."""

    routing: Routing
    now: float = 1000.0

    def exchange(self, *agents: Agent, session: str | None = None, **facts: Any) -> Exchange:
        headers = CIMultiDict({"X-Session-Id": session} if session is not None else {})
        clock = Clock(monotonic=lambda: self.now)
        facts = {"capabilities": ("sql",), "agent": None, **facts}
        return an_exchange(clock=clock, candidates=list(agents), request_headers=headers, target=None, **facts)

    def order(self, *agents: Agent, **facts: Any) -> list[str]:
        return [one.agent.id for one in self.routing.ranking(self.exchange(*agents, **facts))]

    def begin(self, agent: Agent) -> Exchange:
        exchange = self.exchange(agent)
        exchange.agent = agent
        self.routing.claims(exchange)
        return exchange

    def serve(
        self,
        agent: Agent,
        seconds: float = 0.1,
        cost: int | None = None,
        status: int = 200,
        outcome: Outcome = Outcome.COMPLETED,
    ) -> None:
        """An exchange from its beginning to its end."""
        exchange = self.begin(agent)
        exchange.forwarded, exchange.first_byte = self.now, self.now + seconds
        exchange.status, exchange.outcome, exchange.cost_nanousd = status, outcome, cost
        self.routing.post_response(exchange)

    def pending(self, agent: Agent) -> int:
        return self.routing._figures[agent.id].pending


def test_the_lowest_priority_comes_first_and_ties_stay_in_the_order_of_the_config() -> None:
    street = Street(built())
    assert street.order(an_agent("a", priority=1), an_agent("b"), an_agent("c", priority=-1)) == ["c", "b", "a"]
    assert street.order(C, A, B) == ["c", "a", "b"]


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "weighted"])
def test_agents_of_which_nothing_is_known_stay_in_the_order_of_the_config(strategy: str) -> None:
    assert Street(built(strategy=strategy)).order(C, A, B) == ["c", "a", "b"]


def test_weights_are_shares() -> None:
    street = Street(built(strategy="weighted"))
    agents = (an_agent("a", weight=70), an_agent("b", weight=25), an_agent("c", weight=5), an_agent("d", weight=0))
    first = Counter(street.order(*agents)[0] for _ in range(4000))
    assert abs(first["a"] - 2800) < 120
    assert abs(first["b"] - 1000) < 120
    assert abs(first["c"] - 200) < 60
    assert first["d"] == 0
    assert street.order(*agents)[-1] == "d"


def test_a_group_shares_its_place_by_weight_and_a_failing_canary_is_followed_by_its_own_group() -> None:
    street = Street(built())
    stable, canary = an_agent("stable", weight=90, group="g"), an_agent("canary", weight=10, group="g")
    orders = Counter(tuple(street.order(stable, B, canary)) for _ in range(2000))
    assert set(orders) == {("stable", "canary", "b"), ("canary", "stable", "b")}
    assert abs(orders["canary", "stable", "b"] - 200) < 60


def test_an_agent_that_is_called_as_a_group_is_none_of_its_members() -> None:
    street = Street(built())
    grouped = an_agent("x", group="a", priority=1)
    assert street.order(grouped, A) == ["a", "x"]


def test_who_has_the_least_pending_comes_first() -> None:
    street = Street(built(strategy="least_pending"))
    street.begin(A)
    street.begin(A)
    street.begin(B)
    assert street.order(A, B, C) == ["c", "b", "a"]


def test_an_exchange_is_pending_once_with_the_agent_that_it_was_tried_at_last() -> None:
    street = Street(built())
    exchange = street.begin(A)
    exchange.agent = B
    street.routing.claims(exchange)
    assert (street.pending(A), street.pending(B)) == (0, 1)
    street.routing.post_response(exchange)
    street.routing.post_response(exchange)
    assert (street.pending(A), street.pending(B)) == (0, 0)


def test_an_exchange_that_no_agent_serves_at_last_is_pending_nowhere() -> None:
    street = Street(built())
    exchange = street.begin(A)
    exchange.agent = None
    street.routing.post_response(exchange)
    assert street.pending(A) == 0


@given(st.lists(st.sampled_from(["begin", "move", "end"]), max_size=40), st.randoms())
def test_pending_counts_never_leak(steps: list[str], choice: random.Random) -> None:
    street = Street(built())
    held: list[Exchange] = []
    for step in steps:
        if step == "begin":
            held.append(street.begin(choice.choice((A, B, C))))
        elif held and step == "move":
            exchange = choice.choice(held)
            exchange.agent = choice.choice((A, B, C))
            street.routing.claims(exchange)
        elif held:
            street.routing.post_response(held.pop(choice.randrange(len(held))))
    expected = Counter(exchange.agent.id for exchange in held if exchange.agent is not None)
    assert {name: one.pending for name, one in street.routing._figures.items() if one.pending} == dict(expected)


def test_the_fastest_to_the_first_byte_comes_first_by_moving_average() -> None:
    street = Street(built(strategy="lowest_latency"))
    street.serve(A, 0.2)
    street.serve(B, 0.1)
    assert street.order(A, B) == ["b", "a"]
    street.serve(B, 0.5)  # 0.18 s now
    assert street.order(A, B) == ["b", "a"]
    street.serve(B, 0.5)  # 0.244 s
    assert street.order(A, B) == ["a", "b"]


def test_an_agent_that_nobody_has_measured_is_tried_by_one_exchange_at_a_time() -> None:
    street = Street(built(strategy="lowest_latency"))
    street.serve(A, 0.1)
    assert street.order(A, B) == ["b", "a"]
    street.begin(B)
    assert street.order(A, B) == ["a", "b"]


def test_a_latency_of_long_ago_is_measured_anew() -> None:
    street = Street(built(strategy="lowest_latency", refresh_seconds=60))
    street.serve(B, 9.0)
    street.now += 30
    street.serve(A, 0.1)
    assert street.order(A, B) == ["a", "b"]
    street.now += 31
    assert street.order(A, B) == ["b", "a"]
    street.serve(B, 0.05)
    assert street.order(A, B) == ["b", "a"]


@pytest.mark.parametrize(
    "end",
    [
        {"status": 500},
        {"status": 429},
        {"status": 404},
        {"status": 0, "outcome": Outcome.UPSTREAM_FAILED},
        {"outcome": Outcome.CLIENT_GONE},
    ],
)
def test_an_agent_is_not_fast_for_what_it_refuses_or_fails_at(end: dict[str, Any]) -> None:
    street = Street(built(strategy="lowest_latency"))
    street.serve(A, 0.5)
    street.serve(B, 0.6)
    street.serve(B, 0.0001, **end)
    assert street.order(B, A) == ["a", "b"]


@pytest.mark.parametrize("strategy", ["lowest_latency", "lowest_cost"])
def test_an_agent_that_fails_at_its_first_trial_is_not_the_first_to_be_tried_again(strategy: str) -> None:
    street = Street(built(strategy=strategy))
    street.serve(A, 0.1, cost=10)
    street.serve(B, status=500)
    assert street.order(B, A) == ["a", "b"]
    street.now += 60
    street.serve(A, 0.1, cost=10)
    assert street.order(B, A) == ["b", "a"]


def test_the_cheapest_by_recent_mean_comes_first_and_an_unknown_cost_last() -> None:
    street = Street(built(strategy="lowest_cost"))
    for cost in (10, 30):
        street.serve(A, cost=cost)
    street.serve(B, cost=25)
    street.serve(C, cost=None)
    assert street.order(A, B, C) == ["a", "b", "c"]
    for _ in range(50):
        street.serve(A, cost=26)
    assert street.order(A, B, C) == ["b", "a", "c"]


@given(st.text(min_size=1), st.sampled_from([name for name in STRATEGIES if name != "priority"]))
def test_a_session_stays_with_its_agent_and_moves_only_when_that_one_leaves(session: str, strategy: str) -> None:
    street = Street(built(strategy=strategy, sticky="header:X-Session-Id"))
    agents = [an_agent(name, weight=weight) for name, weight in zip("abcde", (1, 2, 3, 4, 5), strict=True)]
    order = street.order(*agents, session=session)
    assert street.order(*reversed(agents), session=session) == order
    for gone in agents:
        left = [agent for agent in agents if agent is not gone]
        assert street.order(*left, session=session) == [name for name in order if name != gone.id]


def test_sessions_are_spread_by_weight_and_stay_in_the_canary() -> None:
    street = Street(built(sticky="header:X-Session-Id"))
    agents = (an_agent("stable", weight=80, group="g"), an_agent("canary", weight=20, group="g"))
    firsts = {str(number): street.order(*agents, session=str(number))[0] for number in range(2000)}
    assert abs(Counter(firsts.values())["canary"] - 400) < 80
    assert all(street.order(*agents, session=one)[0] == first for one, first in firsts.items())


def test_sticky_sessions_do_not_go_to_a_backup_before_its_time() -> None:
    street = Street(built(sticky="header:X-Session-Id"))
    agents = (an_agent("backup", priority=1), A, B)
    firsts = {street.order(*agents, session=str(number))[0] for number in range(50)}
    assert firsts == {"a", "b"}


def test_without_a_session_the_strategy_alone_ranks() -> None:
    street = Street(built(sticky="header:X-Session-Id"))
    assert {tuple(street.order(B, A, session=session)) for session in (None, "")} == {("b", "a")}


def test_one_capability_may_be_ranked_otherwise() -> None:
    own = {"sql": {"strategy": "least_pending"}, "charts": {"strategy": "priority"}}
    street = Street(built(capabilities=own))
    street.begin(A)
    assert street.order(A, B, capabilities=("chat",)) == ["a", "b"]
    assert street.order(A, B, capabilities=("chat", "sql")) == ["b", "a"]
    assert street.order(A, B, capabilities=("charts", "sql")) == ["a", "b"]


@given(
    st.sampled_from(STRATEGIES),
    st.lists(
        st.builds(
            an_agent,
            st.sampled_from("abcdef"),
            weight=st.integers(0, 3),
            priority=st.integers(0, 2),
            group=st.sampled_from([None, "g", "h", "a"]),
        ),
        min_size=1,
        unique_by=lambda agent: agent.id,
    ),
    st.none() | st.text(min_size=1),
)
def test_every_candidate_has_one_place_and_nobody_else_has(
    strategy: str, agents: list[Agent], session: str | None
) -> None:
    street = Street(built(strategy=strategy, sticky="header:X-Session-Id"))
    assert sorted(street.order(*agents, session=session)) == sorted(agent.id for agent in agents)
    chosen = street.routing.route(street.exchange(*agents, session=session))
    assert chosen is None if len(agents) == 1 else chosen in agents


def test_a_reload_forgets_nothing() -> None:
    street = Street(built(strategy="lowest_latency"))
    street.serve(A, 0.2)
    under_way = street.begin(B)
    before, street.routing = street.routing, built(strategy="least_pending")
    street.routing.inherit(before)
    assert street.order(B, A) == ["a", "b"]
    before.post_response(under_way)
    assert street.order(B, A) == ["b", "a"]


def test_a_ranking_says_why() -> None:
    street = Street(built(strategy="lowest_latency", sticky="header:X-Session-Id"))
    street.serve(A, 0.25)
    [first, last] = street.routing.ranking(street.exchange(A, an_agent("b", group="g", weight=3)))
    assert (first.agent.id, first.reason) == ("b", "not measured yet, weight 3 of 3 in group g")
    assert (last.reason, last.figures) == ("0.250 s to the first byte", {"latency_seconds": 0.25, "pending": 0})
    [only] = street.routing.ranking(street.exchange(A, session="s"))
    assert only.reason == "0.250 s to the first byte, sticky by X-Session-Id"


@pytest.mark.parametrize(
    "table, path, message",
    [
        ({"strategy": "prioriti"}, "strategy", "did you mean 'priority'?"),
        ({"sticky": "X-Session-Id"}, "sticky", "expected 'header:' and a header's name"),
        ({"sticky": "header:X_User-Id"}, "sticky", "clients cannot send X_User-Id"),
        ({"refresh_seconds": 0}, "refresh_seconds", "must be > 0"),
        ({"capabilities": {"sql": {"stategy": "priority"}}}, "capabilities.sql.stategy", "did you mean 'strategy'?"),
    ],
)
def test_a_wrong_config_is_told_with_its_place(table: dict[str, Any], path: str, message: str) -> None:
    problems: list[Problem] = []
    assert Structurer(Path()).structure(table, RoutingConfig, "plugins.routing", problems.append) is None
    assert [problem.path for problem in problems] == [f"plugins.routing.{path}"]
    assert message in problems[0].message


def test_a_capability_that_no_agent_declares_is_told() -> None:
    settings = Structurer(Path()).structure({"capabilities": {"sqll": {}}}, RoutingConfig, "", print)
    assert settings is not None
    [(place, message)] = settings.check_agents({"a": an_agent("a", capabilities=("sql",))})
    assert (place, message) == ("capabilities.sqll", "no agent declares the capability 'sqll'; did you mean 'sql'?")
