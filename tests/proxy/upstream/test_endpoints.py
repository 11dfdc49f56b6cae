"""Which endpoint is called, what is set aside and sent again, how long and how often; on a clock that is ours."""

from collections import Counter
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from aiogate.agent import Agent, Retry
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.budget import Budget
from aiogate.proxy.upstream.endpoint import endpoint_of
from aiogate.proxy.upstream.endpoints import BROKEN, IDEMPOTENT, Endpoints, reason_of
from aiogate.proxy.upstream.place import Condition, Place

ENDS = st.sampled_from([200, 404, 429, 500, 502, 503, 504, 529, "connect", "reset", "silent"])
REASONS = ("connect", "reset", "429", "500", "502", "503", "504", "529")
RULES = st.builds(Retry, attempts=st.integers(1, 6), on=st.frozensets(st.sampled_from(REASONS)), unsafe=st.booleans())
ERRORS = {
    "connect": UpstreamError("agent_unreachable", "", sent=False),
    "reset": UpstreamError("agent_unreachable", ""),
    "silent": UpstreamError("agent_first_byte_timeout", ""),
}


def an_agent(count: int, **facts: Any) -> Agent:
    return Agent(id="a", url="http://a-0", urls=tuple(f"http://a-{number}" for number in range(count)), **facts)


def a_place(jitter: float = 0.0) -> Place:
    return Place(endpoint_of("http://a"), lambda: jitter)


@attrs.define
class Exchange:
    """One request of a simulated client: its attempts, each with the place and when it began."""

    method: str
    attempts: list[tuple[int, float]]
    waits: list[float]
    ended: Any = None


class World:
    """An agent whose endpoints end each attempt as the test has it, called as ``Trip`` calls it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.now = 1000.0

    def call(self, method: str, ends: list[tuple[Any, float, float]]) -> Exchange:
        """Call until nothing is sent again; each end comes with the seconds it took and a ``Retry-After``."""
        endpoints, began = self.endpoints, self.now
        endpoints.budget.requested(began)
        place, exchange = endpoints.choose(began), Exchange(method, [], [])
        for end, seconds, asked in ends:
            exchange.attempts.append((place, self.now))
            sent = self.now
            self.now += seconds
            exchange.ended = end
            here = endpoints.places[place]
            if end in BROKEN or isinstance(end, str):
                here.failed(self.now, sent, asked if isinstance(end, int) else 0.0)
            else:
                here.succeeded(sent)
            reason = reason_of(ERRORS[end] if isinstance(end, str) else end)
            tried = [one for one, _ in exchange.attempts]
            if not endpoints.mends(reason, method):
                break
            again = endpoints.again(tried, now=self.now, began=began)
            if again is None:
                break
            place, wait = again
            exchange.waits.append(wait)
            self.now += wait
        return exchange


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "PATCH"]),
        st.lists(st.tuples(ENDS, st.floats(0, 4), st.sampled_from([0.0, 0.0, 1.0, 30.0])), min_size=6, max_size=6),
        st.floats(0, 20),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(st.integers(1, 4), RULES, st.floats(0, 0.999), CALLS)
def test_what_is_sent_again_is_safe_and_in_time_and_within_the_budget(
    count: int, rule: Retry, jitter: float, calls: list[Any]
) -> None:
    agent = an_agent(count, retry=rule, first_byte_seconds=10.0)
    world = World(Endpoints.of(agent, lambda: jitter))
    seen: list[tuple[float, int]] = []
    for method, ends, pause in calls:
        world.now += pause
        began = world.now
        exchange = world.call(method, ends)
        for number, (place, at) in enumerate(exchange.attempts[1:], start=1):
            before, reason = exchange.attempts[number - 1], ends[number - 1][0]
            assert number < rule.attempts
            assert str(reason) in rule.on
            assert reason == "connect" or rule.unsafe or method in IDEMPOTENT
            assert at - began < 10.0
            untried = set(range(count)) - {one for one, _ in exchange.attempts[:number]}
            well = {one for one in untried if world.endpoints.places[one].failures == 0}
            assert not well or place in untried
            if place == before[0] and isinstance(reason, int) and reason in BROKEN:
                assert at - before[1] >= ends[number - 1][2]  # it has asked for that
        seen += [(began, 0)] + [(at, 1) for _, at in exchange.attempts[1:]]
        assert world.endpoints.budget.taken == sum(kind for _, kind in seen)
    assert all(place.pending == 0 for place in world.endpoints.places)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_retries_are_a_fifth_of_the_requests_at_most_or_three(steps: list[tuple[float, bool]]) -> None:
    budget, now, requests, retries = Budget(), 0.0, list[int](), list[int]()
    for pause, is_request in steps:
        now += pause
        window = range(int(now) - 9, int(now) + 1)
        if is_request:
            budget.requested(now)
            requests.append(int(now))
            continue
        counted = sum(at in window for at in requests), sum(at in window for at in retries)
        may = counted[1] + 1 <= max(3, 0.2 * counted[0])
        assert budget.take(now) == may
        if may:
            retries.append(int(now))


@given(
    st.lists(
        st.tuples(st.sampled_from(["fail", "late failure", "succeed", "up", "down", "pend", "end"]), st.floats(0, 40)),
        max_size=60,
    ),
    st.floats(0, 0.999),
)
def test_a_place_is_set_aside_for_longer_each_time_and_forgiven_for_a_success(
    steps: list[tuple[str, float]], jitter: float
) -> None:
    place, now, since, row = a_place(jitter), 0.0, -1.0, 0
    for what, pause in steps:
        now += pause
        if what == "fail":
            place.failed(now, now)
            row, since = row + 1, now
            wait = place.figures(now)["aside_seconds"]
            longest = min(2.0 ** (row - 1), 30.0)
            assert 0.8 * longest - 0.001 <= wait <= longest + 0.001
        elif what == "late failure":
            before = place.failures
            place.failed(now, since - 1.0)
            assert place.failures == before or since < 0.0
            row, since = place.failures, max(since, now if place.failures != before else since)
        elif what == "succeed":
            place.succeeded(now)
            row = 0
        elif what in {"up", "down"}:
            place.probed(well=what == "up")
        elif what == "pend":
            place.pending += 1
        else:
            place.pending = max(0, place.pending - 1)
        assert place.failures == row
        assert place.may_serve(now) == (
            place.condition(now) is Condition.WELL or (place.condition(now) is Condition.TRIAL and place.pending == 0)
        )


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=6), st.integers(0, 20))
def test_the_least_busy_of_those_that_are_well_is_chosen_or_the_least_bad(
    facts: list[tuple[int, bool, bool]], turns: int
) -> None:
    endpoints = Endpoints.of(an_agent(len(facts)), lambda: 0.0)
    for place, (pending, fails, is_down) in zip(endpoints.places, facts, strict=True):
        place.pending = pending
        if fails:
            place.failed(0.0, 0.0)
        place.probed(well=not is_down)
    for _ in range(turns):
        chosen = endpoints.places[endpoints.choose(0.5)]
        well = [place for place in endpoints.places if place.may_serve(0.5)]
        if well:
            assert chosen in well
            assert chosen.pending == min(place.pending for place in well)
        else:
            assert chosen.is_down == all(place.is_down for place in endpoints.places)


def test_those_that_are_equally_busy_take_turns() -> None:
    endpoints = Endpoints.of(an_agent(3), lambda: 0.0)
    assert Counter(endpoints.choose(0.0) for _ in range(9)) == {0: 3, 1: 3, 2: 3}


def test_fifty_requests_that_one_crash_has_ended_are_one_failure() -> None:
    place = a_place()
    for _ in range(50):
        place.failed(10.0, 9.0)
    assert (place.failures, place.condition(10.9), place.condition(11.0)) == (1, Condition.ASIDE, Condition.TRIAL)


def test_one_that_is_back_gets_one_request_at_a_time_until_one_has_succeeded() -> None:
    place = a_place()
    place.failed(10.0, 10.0)
    assert place.may_serve(11.0)
    place.pending = 1
    assert not place.may_serve(11.0)
    place.succeeded(11.0)
    assert place.may_serve(11.0)


def test_a_probe_says_nothing_of_errors_that_an_endpoint_answers() -> None:
    place = a_place()
    place.failed(10.0, 10.0)
    place.probed(well=True)
    assert place.condition(10.0) is Condition.ASIDE
    place.failed(20.0, 20.0, reached=False)
    place.probed(well=True)
    assert place.condition(20.0) is Condition.WELL


def test_what_is_known_stays_with_an_endpoint_that_stays() -> None:
    before = Endpoints.of(an_agent(2), lambda: 0.0)
    before.places[1].failed(10.0, 10.0)
    after = Endpoints.of(attrs.evolve(an_agent(3), connect_seconds=1.0), lambda: 0.0, before)
    assert [place.failures for place in after.places] == [0, 1, 0]
    assert after.places[1] is before.places[1]
    assert after.budget is before.budget


def test_another_endpoint_comes_first_whatever_is_known_of_it() -> None:
    endpoints = Endpoints.of(an_agent(2), lambda: 0.0)
    assert {endpoints.choose(0.0, [0]) for _ in range(4)} == {1}  # both are well: the first has answered 500
    endpoints.places[0].failed(0.0, 0.0)
    endpoints.places[1].failed(0.0, -1.0)
    endpoints.places[1].failed(0.0, 0.0)
    assert {endpoints.choose(0.5, [0]) for _ in range(4)} == {1}
    assert {endpoints.choose(0.5) for _ in range(4)} == {0}
