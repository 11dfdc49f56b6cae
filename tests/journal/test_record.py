"""The journal's record: what is in it, in which order, and that nothing from outside can swell or break it."""

from typing import Any

import attrs
import orjson
import pytest

from aiogate import Attempt, Exchange, Outcome, Principal, Usage
from aiogate.errors import refusal
from aiogate.journal.record import RECORD_BYTES, encode, timestamp
from tests.exchanges import an_agent, an_exchange

ALICE = Principal(id="alice", key_id="k-alice", department="data", cost_center="research")
HUGE = 10**40


def ended(**facts: Any) -> Exchange:
    return an_exchange(**{"ended": 0.0, "status": 200, "outcome": Outcome.COMPLETED, **facts})


def record(**facts: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = orjson.loads(encode(ended(**facts)))
    return decoded


def test_a_record_is_one_line_with_its_members_in_order() -> None:
    exchange = ended(
        method="POST",
        full_path="/agents/support/chat",
        query="api_key=secret",
        trace_id="a" * 32,
        principal=ALICE,
        agent=an_agent(cost_center="customer_success"),
        usage=Usage(
            source="measured",
            model="m-1",
            input_tokens=12,
            cached_input_tokens=4,
            cache_write_tokens=3,
            cache_write_1h_tokens=2,
            input_audio_tokens=1,
            output_tokens=34,
            reasoning_tokens=5,
            output_audio_tokens=6,
        ),
        cost_nanousd=400_000,
        bytes_in=10,
        bytes_out=1200,
        started_wall=1767268801.123,
        started=100.0,
        forwarded=100.0003,
        first_byte=100.04,
        answered=100.0401,
        ended=100.0456789,
    )
    assert encode(exchange) == (
        b'{"time":"2026-01-01T12:00:01.123Z","request_id":"00000000000000000000000000000001",'
        b'"trace_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","principal":"alice","key_id":"k-alice","department":"data",'
        b'"agent":"support","method":"POST","path":"/agents/support/chat","status":200,"outcome":"completed",'
        b'"code":null,"duration_seconds":0.045679,"first_byte_seconds":0.04,"overhead_seconds":0.0004,'
        b'"bytes_in":10,"bytes_out":1200,"usage":{"source":"measured","model":"m-1","input_tokens":12,'
        b'"cached_input_tokens":4,"cache_write_tokens":3,"cache_write_1h_tokens":2,"input_audio_tokens":1,'
        b'"output_tokens":34,"reasoning_tokens":5,"output_audio_tokens":6},"cost_nanousd":400000,'
        b'"cost_center":"customer_success","client":"127.0.0.1","generation":1}\n'
    )


def test_absent_facts_are_left_out_except_those_that_sums_are_made_by() -> None:
    sparse = record(client_address="")
    assert {name for name, fact in sparse.items() if fact is None} == {"principal", "agent", "code", "cost_nanousd"}
    assert sparse["usage"] == {"source": "unknown"}
    absent = {"trace_id", "key_id", "department", "rule", "first_byte_seconds", "cost_center", "client"}
    assert not (absent | {"detail", "shadow"}) & sparse.keys()


def test_a_usage_without_a_cost_is_unpriced_and_says_so() -> None:
    usage = Usage(source="measured", model="m-1", input_tokens=1)
    unpriced, priced = record(usage=usage), record(usage=usage, cost_nanousd=0)
    assert (unpriced["cost_nanousd"], unpriced["unpriced"]) == (None, True)
    assert "unpriced" not in priced
    assert "unpriced" not in record()


def test_a_refusal_is_in_the_record_with_its_rule_and_what_the_client_read() -> None:
    refused = record(status=429, outcome=Outcome.REFUSED, refusal=refusal("rate_limited", "no", rule="per-agent"))
    assert (refused["outcome"], refused["code"], refused["rule"]) == ("refused", "rate_limited", "per-agent")
    assert refused["detail"] == "no"


def test_a_long_detail_is_cut_and_says_so() -> None:
    detail = record(status=429, outcome=Outcome.REFUSED, refusal=refusal("rate_limited", "x" * 200))["detail"]
    assert (len(detail), detail[-2:]) == (160, "x…")


def test_rules_in_the_shadow_are_in_the_record_by_name() -> None:
    assert record(shadow_rules=("departments", "office"))["shadow"] == ["departments", "office"]
    assert record(shadow_rules=tuple("abcde"))["shadow"] == ["a", "b", "c", "…"]


@pytest.mark.parametrize("agents, expected", [("customer_success", "customer_success"), (None, "research")])
def test_the_cost_center_is_the_agents_or_else_the_principals(agents: str | None, expected: str) -> None:
    assert record(principal=ALICE, agent=an_agent(cost_center=agents))["cost_center"] == expected


@pytest.mark.parametrize(
    "facts, expected",
    [
        ({}, 5.0),
        ({"forwarded": 1.0}, 1.0),
        ({"forwarded": 1.0, "first_byte": 3.0}, 1.0),
        ({"forwarded": 1.0, "first_byte": 3.0, "answered": 3.5}, 1.5),
    ],
    ids=["never forwarded", "the agent stayed silent", "nothing reached the client", "answered"],
)
def test_overhead_is_the_time_that_the_gateway_itself_added(facts: dict[str, float], expected: float) -> None:
    assert record(ended=5.0, **facts)["overhead_seconds"] == expected


@pytest.mark.parametrize(
    "wall, expected",
    [(0.0, "1970-01-01T00:00:00.000Z"), (1.9999, "1970-01-01T00:00:02.000Z"), (1.0005, "1970-01-01T00:00:01.000Z")],
)
def test_times_have_milliseconds(wall: float, expected: str) -> None:
    assert timestamp(wall) == expected


def test_a_long_path_is_cut_and_says_so() -> None:
    path = record(full_path="/agents/support/" + "x" * 1000)["path"]
    assert len(path) == 256
    assert path.startswith("/agents/support/xxx")
    assert path.endswith("x…")


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/a/b%20c?%c3", "/a/b%20c?%c3"),
        ("/\udcc3(", "/%C3("),
        ("/é", "/%C3%A9"),
        ('/"\\\n\x1b', "/%22%5C%0A%1B"),
        ("/\ud800", "/?"),
    ],
)
def test_a_path_is_written_as_a_uri_has_it(path: str, expected: str) -> None:
    assert record(full_path=path)["path"] == expected


def an_attempt(agent: str = "support", **facts: Any) -> Attempt:
    known = {"endpoint": "support-agent-1.internal.example:8001", "began": 0.0, "seconds": 123456.78901, "status": 503}
    return Attempt(agent=an_agent(agent), **{**known, **facts})


def test_attempts_are_in_the_record_as_compactly_as_they_can_be_read() -> None:
    first = an_attempt(status=None, code="agent_unreachable", seconds=0.00123)
    second, third = an_attempt(agent="other", status=503), an_attempt(agent="other", status=200)
    names = {"endpoint": first.endpoint}
    assert record(attempts=(first, second, third))["attempts"] == [
        {**names, "ended": "agent_unreachable", "seconds": 0.0012},
        {"agent": "other", **names, "ended": 503, "seconds": 123456.789},
        {**names, "ended": 200, "seconds": 123456.789},
    ]
    same = an_agent()
    many = [attrs.evolve(first, agent=same, seconds=float(number)) for number in range(6)]
    left_out, *kept = record(attempts=tuple(many))["attempts"]
    assert (left_out, [one["seconds"] for one in kept]) == ("…", [2.0, 3.0, 4.0, 5.0])


def test_all_attempts_but_the_last_give_way_before_the_path_does() -> None:
    attempts = tuple(an_attempt(status=status) for status in (503, 502, 200))
    path = "/" + "x" * 150
    fitted = record(full_path=path, attempts=attempts, principal=Principal(id="alice", department="d" * 150))
    assert (fitted["path"], fitted["attempts"][0], fitted["attempts"][1]["ended"]) == (path, "…", 200)


HOSTILE = {
    "long": "x" * 100_000,
    "quotes": '"\\' * 50_000,
    "controls": "\x00\x1b\n" * 30_000,
    "surrogates": "\udcff\ud800" * 50_000,
    "wide": "\U0001f512" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("shares", [False, True])
def test_a_record_stays_small_whatever_a_client_and_an_agent_send(shares: bool, text: str) -> None:
    line = encode(
        ended(
            method=text,
            full_path=text,
            client_address=text,
            trace_id=text,
            principal=Principal(id=text, key_id=text, department=text),
            agent=an_agent(cost_center=text),
            refusal=refusal("rate_limited", text, rule=text),
            shadow_rules=(text, text, text, text),
            attempts=(an_attempt(endpoint=text), *[an_attempt(agent="b" * 64, code="agent_unreachable")] * 8),
            usage=Usage(
                source="measured",
                model=text,
                input_tokens=HUGE,
                cached_input_tokens=HUGE,
                cache_write_tokens=HUGE,
                cache_write_1h_tokens=HUGE,
                input_audio_tokens=HUGE,
                output_audio_tokens=HUGE,
                output_tokens=HUGE,
                reasoning_tokens=-HUGE,
            ),
            cost_nanousd=HUGE,
            bytes_in=2**63 - 1,
            bytes_out=2**63 - 1,
            cost_centers=tuple((f"{n}{text[:63]}", 33.33) for n in range(4)) if shares else (),
            first_byte=123456.123456,
            ended=123456.123456,
            generation=123456,
        )
    )
    assert len(line) <= RECORD_BYTES
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["cost_nanousd"] == 2**63 - 1


@pytest.mark.parametrize(
    "shares, expected",
    [
        ((), {"cost_center": "customer_success"}),
        ((("data", 100),), {"cost_center": "data"}),
        ((("data", 60), ("web", 39.5), ("x", 0.5)), {"cost_centers": {"data": 60, "web": 39.5, "x": 0.5}}),
    ],
)
def test_who_pays_by_a_rule_goes_before_the_agents_cost_center(shares: Any, expected: dict[str, Any]) -> None:
    made = record(agent=an_agent(cost_center="customer_success"), cost_centers=shares)
    assert {name: made[name] for name in made if name.startswith("cost_center")} == expected


def test_the_path_gives_way_before_names_do() -> None:
    department = "d" * 400
    fitted = record(full_path="/" + "x" * 300, principal=Principal(id="alice", department=department))
    assert RECORD_BYTES - 8 < len(orjson.dumps(fitted)) < RECORD_BYTES
    assert (fitted["principal"], fitted["department"]) == ("alice", department)
    assert fitted["path"].endswith("x…")


def test_names_that_are_too_long_for_a_record_stay_apart() -> None:
    first, second, third = (record(principal=Principal(id="x" * 2000 + end))["principal"] for end in "112")
    assert first == second
    assert first != third
    assert first.startswith("sha256:")


def test_an_exchange_that_goes_on_has_no_record() -> None:
    with pytest.raises(ValueError, match="before it has ended"):
        encode(an_exchange())
