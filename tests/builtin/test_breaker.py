"""``breaker``: which ends of an exchange count, whom it rules out, who gets the probe, what operators can do."""

import logging
from email.utils import formatdate
from pathlib import Path
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from aiogate import AiogateError, Clock, Exchange, Outcome, Refused
from aiogate.builtin.breaker import Breaker, BreakerConfig, Phase
from aiogate.settings.structure import Structurer
from aiogate.state.board import MemoryBoard
from tests.exchanges import an_agent, an_exchange

WALL = 1_800_000_000.0
SUPPORT, SEARCH = an_agent("support"), an_agent("search")


@attrs.define
class House:
    """A breaker, the time, and what ``lifespan`` gets to see."""

    config: dict[str, Any] = attrs.field(factory=dict)
    now: float = 1000.0
    agents: dict[str, Any] = attrs.field(factory=lambda: {"support": SUPPORT, "search": SEARCH})
    generation: int = 1
    board: MemoryBoard = attrs.field(factory=MemoryBoard)
    breaker: Breaker = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.breaker = self.built(self.config)

    def tell(self, event: str, **facts: object) -> None:
        pass

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, wall=lambda: WALL)

    def built(self, table: dict[str, Any]) -> Breaker:
        config = Structurer(Path()).structure(table, BreakerConfig, "plugins.breaker", print)
        assert config is not None
        breaker = Breaker(config, random=lambda: 0.0)
        breaker.lifespan(self)
        return breaker

    def exchange(self, *candidates: Any, **facts: Any) -> Exchange:
        agents = list(candidates or (SUPPORT,))
        return an_exchange(clock=self.clock, candidates=agents, agent=agents[0], started=self.now, **facts)

    def admitted(self, *candidates: Any, **facts: Any) -> Exchange:
        """An exchange on its way to the first of its candidates that is left."""
        exchange = self.exchange(*candidates, **facts)
        self.breaker.pre_request(exchange)
        exchange.agent = exchange.candidates[0]
        self.breaker.claims(exchange)
        exchange.forwarded = self.now
        return exchange

    def end(self, exchange: Exchange, status: int, outcome: Outcome = Outcome.COMPLETED, **headers: str) -> None:
        exchange.status, exchange.outcome = status, outcome
        exchange.response_headers = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        if outcome is Outcome.COMPLETED and exchange.forwarded is not None:
            self.breaker.response_started(exchange)
        self.breaker.post_response(exchange)

    def fail(self, times: int = 5, agent: Any = SUPPORT) -> None:
        for _ in range(times):
            self.end(self.admitted(agent), 500)

    def ruled_out(self, *candidates: Any) -> Any:
        """Return the refusal for an exchange, or None when a candidate is left."""
        exchange = self.exchange(*candidates)
        self.breaker.pre_request(exchange)
        return None if exchange.candidates else exchange.softest_refusal


@pytest.mark.parametrize(
    "status, outcome",
    [
        (500, Outcome.COMPLETED),
        (503, Outcome.COMPLETED),
        (529, Outcome.COMPLETED),
        (502, Outcome.UPSTREAM_FAILED),
        (504, Outcome.UPSTREAM_FAILED),
        (200, Outcome.UPSTREAM_FAILED),
    ],
    ids=["500", "503", "529", "unreachable or no HTTP", "silent", "broken off"],
)
def test_what_is_a_failure(status: int, outcome: Outcome) -> None:
    house = House()
    for _ in range(5):
        house.end(house.admitted(), status, outcome)
    refused = house.ruled_out()
    assert (refused.status, refused.code, refused.retry_after_seconds) == (503, "agent_unavailable", 30.0)


@pytest.mark.parametrize(
    "status, outcome",
    [
        (400, Outcome.COMPLETED),
        (404, Outcome.COMPLETED),
        (429, Outcome.COMPLETED),
        (413, Outcome.REFUSED),
        (503, Outcome.REFUSED),
        (500, Outcome.CLIENT_GONE),
        (0, Outcome.CLIENT_GONE),
        (0, Outcome.CUT),
        (500, Outcome.PLUGIN_FAILED),
    ],
)
def test_what_is_no_failure(status: int, outcome: Outcome) -> None:
    house = House()
    for _ in range(20):
        house.end(house.admitted(), status, outcome)
    assert house.ruled_out() is None
    assert house.breaker.statuses() == []


def test_a_reply_of_a_plugin_is_no_answer_of_the_agent() -> None:
    house = House()
    for _ in range(20):
        house.end(house.exchange(), 500)
    assert house.ruled_out() is None


def test_a_client_that_hangs_up_does_not_interrupt_a_row_of_failures() -> None:
    house = House()
    house.fail(4)
    house.end(house.admitted(), 0, Outcome.CLIENT_GONE)
    house.fail(1)
    assert house.ruled_out() is not None


def test_one_broken_agent_hurts_no_other() -> None:
    house = House()
    house.fail()
    assert house.ruled_out(SUPPORT) is not None
    assert house.ruled_out(SEARCH) is None


def test_of_several_candidates_the_broken_one_is_ruled_out_and_the_others_stay() -> None:
    house = House()
    house.fail()
    exchange = house.exchange(SUPPORT, SEARCH)
    house.breaker.pre_request(exchange)
    assert exchange.candidates == [SEARCH]


def test_a_probe_is_taken_only_for_the_agent_that_was_chosen() -> None:
    """The exchange that leaves a half-open agent alone leaves its probe to another."""
    house = House()
    house.fail()
    house.now += 30.0
    assert house.admitted(SEARCH, SUPPORT).candidates == [SEARCH, SUPPORT]
    probe = house.admitted(SUPPORT, SEARCH)
    assert probe.agent is SUPPORT
    assert house.ruled_out(SUPPORT).retry_after_seconds == 1.0
    house.end(probe, 200)
    assert house.ruled_out(SUPPORT) is None


def test_of_two_that_both_passed_pre_request_the_slower_is_refused() -> None:
    """A plugin that waits may stand between the two hooks."""
    house = House()
    house.fail()
    house.now += 30.0
    first, second = house.exchange(), house.exchange()
    house.breaker.pre_request(first)
    house.breaker.pre_request(second)
    house.breaker.claims(first)
    with pytest.raises(Refused) as refused:
        house.breaker.claims(second)
    assert (refused.value.refusal.status, refused.value.refusal.code) == (503, "agent_unavailable")
    house.end(second, 503, Outcome.REFUSED)
    assert house.ruled_out() is not None  # who lost has no probe to free


@pytest.mark.parametrize("outcome", [Outcome.CLIENT_GONE, Outcome.REFUSED, Outcome.CUT, Outcome.PLUGIN_FAILED])
def test_a_probe_that_finds_out_nothing_frees_its_slot(outcome: Outcome) -> None:
    house = House()
    house.fail()
    house.now += 30.0
    probe = house.admitted()
    assert house.ruled_out() is not None
    house.end(probe, 0, outcome)
    assert house.ruled_out() is None


def test_a_4xx_on_a_probe_closes_and_a_5xx_opens_for_longer() -> None:
    house = House()
    house.fail()
    house.now += 30.0
    house.end(house.admitted(), 500)
    assert house.ruled_out().retry_after_seconds == 60.0
    house.now += 60.0
    house.end(house.admitted(), 404)
    assert house.ruled_out() is None


def test_a_probe_whose_stream_goes_on_lets_the_others_in() -> None:
    house = House()
    house.fail()
    house.now += 30.0
    probe = house.admitted()
    probe.status = 200
    house.breaker.response_started(probe)
    assert house.ruled_out() is None
    house.end(probe, 200, Outcome.UPSTREAM_FAILED)
    assert house.ruled_out().retry_after_seconds == 60.0


def test_a_probe_whose_error_is_still_on_its_way_lets_nobody_in() -> None:
    house = House()
    house.fail()
    house.now += 30.0
    probe = house.admitted()
    probe.status = 500
    house.breaker.response_started(probe)
    assert house.ruled_out() is not None


def test_a_list_shows_an_agent_that_is_down_as_unavailable() -> None:
    house = House()
    house.fail()
    exchange = house.exchange(SUPPORT, SEARCH, target=None, unavailable={})
    house.breaker.pre_request(exchange)
    assert exchange.candidates == [SUPPORT, SEARCH]
    assert list(exchange.unavailable or ()) == ["support"]


@pytest.mark.parametrize("next_agent", [SEARCH, None])
def test_the_probe_of_an_agent_that_does_not_serve_after_all_is_free_at_once(next_agent: Any) -> None:
    """Its claims did not fit: the next agent is tried, or none is left."""
    house = House()
    house.fail()
    house.now += 30.0
    exchange = house.admitted()
    assert house.ruled_out() is not None
    exchange.agent = next_agent
    if next_agent is None:
        house.breaker.post_response(exchange)
    else:
        house.breaker.claims(exchange)
    assert house.ruled_out() is None


def test_how_one_agent_serves_says_nothing_of_one_whose_probe_was_left() -> None:
    house = House()
    house.fail()
    house.now += 30.0
    exchange = house.admitted()
    exchange.agent = SEARCH
    house.breaker.claims(exchange)
    house.end(exchange, 200)
    assert [one.phase for one in house.breaker.statuses() if one.agent == "support"] == [Phase.HALF_OPEN]


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize(
    "retry_after, seconds",
    [("20", 20.0), ("1.5", 1.5), (formatdate(WALL + 90, usegmt=True), 90), (formatdate(WALL + 90), 90)],
)
def test_retry_after_pauses_the_agent_where_it_is_honored(status: int, retry_after: str, seconds: float) -> None:
    house = House({"honor_retry_after": True})
    house.end(house.admitted(), status, Retry_After=retry_after)
    refused = house.ruled_out()
    assert (refused.code, refused.retry_after_seconds) == ("agent_unavailable", seconds)
    house.now += seconds
    assert house.ruled_out() is None


@pytest.mark.parametrize(
    "status, headers",
    [
        (429, {}),
        (429, {"Retry_After": "soon"}),
        (429, {"Retry_After": "-5"}),
        (429, {"Retry_After": "0"}),
        (429, {"Retry_After": formatdate(WALL - 90, usegmt=True)}),
        (429, {"Retry_After": "Fri, 99 Foo 99999 99:99:99 GMT"}),
        (200, {"Retry_After": "20"}),
        (404, {"Retry_After": "20"}),
    ],
)
def test_nothing_else_pauses_it(status: int, headers: dict[str, str]) -> None:
    house = House({"honor_retry_after": True})
    house.end(house.admitted(), status, **headers)
    assert house.ruled_out() is None


def test_retry_after_is_not_honored_unless_somebody_says_so() -> None:
    house = House({"agents": {"search": {"honor_retry_after": True}}})
    for agent in (SUPPORT, SEARCH):
        house.end(house.admitted(agent), 429, Retry_After="20")
    assert house.ruled_out(SUPPORT) is None
    assert house.ruled_out(SEARCH) is not None


def test_our_own_429_pauses_nobody() -> None:
    house = House({"honor_retry_after": True})
    exchange = house.exchange()
    house.end(exchange, 429, Outcome.REFUSED, Retry_After="20")
    assert house.ruled_out() is None


def test_an_agent_may_have_its_own_settings() -> None:
    house = House({"failures": 3, "agents": {"search": {"failures": 1, "open_seconds": 7}}})
    house.fail(1, SEARCH)
    house.fail(2, SUPPORT)
    assert house.ruled_out(SEARCH).retry_after_seconds == 7.0
    assert house.ruled_out(SUPPORT) is None
    house.fail(1, SUPPORT)
    assert house.ruled_out(SUPPORT).retry_after_seconds == 30.0


def test_what_is_open_stays_open_over_a_reload() -> None:
    """An exchange of the config before ends on the plugin before, and counts as well."""
    house = House()
    house.fail()
    house.fail(4, SEARCH)
    probing = House()
    late = house.admitted(SEARCH)
    before, house.breaker = house.breaker, house.built({"open_seconds": 7})
    house.breaker.inherit(before)
    assert house.ruled_out(SUPPORT).retry_after_seconds == 30.0
    late.status, late.outcome = 500, Outcome.COMPLETED
    before.post_response(late)
    assert house.ruled_out(SEARCH).retry_after_seconds == 7.0
    probing.breaker.inherit(object())
    assert probing.ruled_out() is None


def test_an_operator_takes_an_agent_out_of_service_and_puts_it_back(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    with caplog.at_level(logging.WARNING):
        house.breaker.open("support", actor="alice", reason="maintenance")
    [status] = house.breaker.statuses()
    assert (status.agent, status.phase, status.actor, status.reason) == (
        "support",
        Phase.HELD_OPEN,
        "alice",
        "maintenance",
    )
    assert "alice" in caplog.text
    house.now += 1e6
    assert house.ruled_out().code == "agent_unavailable"
    house.breaker.reset("support", actor="bob", reason="done")
    assert house.ruled_out() is None


def test_an_operator_keeps_a_failing_agent_in_service() -> None:
    house = House()
    house.fail()
    house.breaker.close("support", actor="alice", reason="the failures are expected")
    house.fail(50)
    assert house.ruled_out() is None
    assert house.breaker.statuses()[0].phase is Phase.HELD_CLOSED


def test_an_agent_that_there_is_not_is_named_with_the_one_that_was_meant() -> None:
    house = House()
    with pytest.raises(AiogateError, match=r"there is no agent 'suport'; did you mean 'support'\?"):
        house.breaker.open("suport", actor="alice", reason="")
    with pytest.raises(AiogateError, match=r"did you mean 'search'\?"):
        house.built({"agents": {"serch": {"failures": 1}}})


@pytest.mark.parametrize(
    "table, problem",
    [
        ({"failures": 0}, "plugins.breaker.failures: "),
        ({"window_seconds": 0}, "plugins.breaker.window_seconds: "),
        ({"max_open_seconds": 10}, "plugins.breaker.max_open_seconds: expected at least open_seconds, 30"),
        ({"agents": {"a": {"open_seconds": 400}}}, "plugins.breaker.agents: a.max_open_seconds: expected at least"),
        ({"agents": {"a": {"failure": 4}}}, "did you mean 'failures'?"),
    ],
)
def test_a_mistake_is_a_problem_with_its_path(table: dict[str, Any], problem: str) -> None:
    problems: list[object] = []
    Structurer(Path()).structure(table, BreakerConfig, "plugins.breaker", problems.append)
    [found] = map(str, problems)
    assert problem in found


def test_a_healthy_agent_costs_one_look() -> None:
    """Nothing is asked of the exchange but its candidates, and nothing is remembered of it."""

    class Shut(dict[str, Any]):
        looks = 0

        def get(self, key: str, default: Any = None) -> Any:
            self.looks += 1
            return super().get(key, default)

    house = House()
    house.fail(5, SEARCH)
    house.breaker._circuits.shut = shut = Shut(house.breaker._circuits.shut)
    exchange = house.exchange()
    exchange.clock = Clock(monotonic=lambda: 0.0)
    house.breaker.pre_request(exchange)
    assert shut.looks == 1
    assert exchange._data is None


def test_so_does_one_that_has_recovered() -> None:
    house = House({"honor_retry_after": True})
    house.fail()
    house.end(house.admitted(SEARCH), 429, Retry_After="30")
    assert set(house.breaker._circuits.shut) == {"support", "search"}
    house.now += 30.0
    house.end(house.admitted(SUPPORT), 200)
    house.end(house.admitted(SEARCH), 200)
    assert house.breaker._circuits.shut == {}
