"""``budgets`` in a running gateway: reserved, settled, refused, warned of, begun again and changed while it runs."""

import asyncio
import itertools
import logging
import os
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.builtin.spending import NOON, Now, ask, config, serving, standing

SECONDS = 10
HANG_UP_STEP = int(os.environ.get("AIOGATE_HANG_UP_STEP", "37"))
"""Bytes of a stream between one hang-up and the next; 1 tries them all, in some seconds."""
TOKENS = {"name": "t", "tokens": 100}
MONEY = {"name": "m", "usd": 0.0001}


async def test_what_an_answer_used_is_spent_and_nothing_is_held(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, TOKENS, MONEY) as (gateway, _, _):
        assert (await ask(client, gateway, uses=30)).status == 200
        assert await standing(gateway) == [("t", "tokens", 30, 0), ("m", "usd", 30_000, 0)]


async def test_what_is_asked_for_is_held_while_the_agent_is_at_it(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path, TOKENS, MONEY) as (gateway, teller, _):
        teller.holds = True
        call = asyncio.create_task(ask(client, gateway, uses=30, max_tokens=50, model="m-1"))
        await teller.arrived.acquire()
        size = len(b'{"uses": 30, "max_tokens": 50, "model": "m-1"}')
        assert await standing(gateway) == [("t", "tokens", 0, 50 + -(-size // 4)), ("m", "usd", 0, 50_000)]
        teller.go_on.release()
        assert (await call).status == 200
        assert await standing(gateway) == [("t", "tokens", 30, 0), ("m", "usd", 30_000, 0)]


async def test_an_exhausted_budget_refuses_until_its_period_ends(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now = Now()
    async with serving(tmp_path, {**TOKENS, "period": "hour"}, now=now) as (gateway, _, agent):
        now.seconds += 600
        assert (await ask(client, gateway, uses=100)).status == 200
        refused = await ask(client, gateway, uses=1)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "3000")
        assert refused.headers["x-should-retry"] == "false"
        said = refused.said
        assert (said["code"], said["rule"], said["error"]["type"]) == ("budget_exhausted", "t", "rate_limit_error")
        assert (said["budget"], said["unit"], said["limit"], said["spent"], said["held"]) == (
            "t",
            "tokens",
            100,
            100,
            0,
        )
        assert len(agent.seen) == 1
        now.seconds += 3000
        assert (await ask(client, gateway, uses=1)).status == 200
        assert gateway.records()[1]["rule"] == "t"


async def test_money_is_told_in_dollars(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, {**MONEY, "per": ["department"]}) as (gateway, _, _):
        assert (await ask(client, gateway, "alice/data", uses=100)).status == 200
        said = (await ask(client, gateway, "bob/data", uses=1)).said
        assert (said["unit"], said["limit"], said["spent"]) == ("usd", 0.0001, 0.0001)
        assert "budget 'm' is exhausted" in said["detail"]
        assert (await ask(client, gateway, "carol/sales", uses=1)).status == 200


async def test_what_others_only_hold_is_worth_coming_back_for(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, TOKENS) as (gateway, teller, _):
        teller.holds = True
        call = asyncio.create_task(ask(client, gateway, uses=5, max_tokens=80))
        await teller.arrived.acquire()
        refused = await ask(client, gateway, uses=5, max_tokens=80)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert "x-should-retry" not in refused.headers
        teller.go_on.release()
        assert (await call).status == 200
        assert await standing(gateway) == [("t", "tokens", 5, 0)]


async def test_a_refused_call_is_free_and_so_is_one_that_fails(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, TOKENS) as (gateway, _, _):
        assert (await ask(client, gateway, uses=60, status=500)).status == 500
        assert await standing(gateway) == [("t", "tokens", 0, 0)]


async def test_bad_figures_never_credit_a_budget(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, TOKENS, MONEY) as (gateway, _, _):
        await ask(client, gateway, uses=40)
        for absurd in (-40, 10**30, "40", 1.5, True):
            await ask(client, gateway, usage={"completion_tokens": absurd})
        assert await standing(gateway) == [("t", "tokens", 40, 0), ("m", "usd", 40_000, 0)]
        assert [record["usage"]["source"] for record in gateway.records()][1:] == ["unknown"] * 5


async def test_without_a_word_of_tokens_the_agents_mean_is_held(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, {"name": "t", "tokens": 10_000}) as (gateway, teller, _):
        await ask(client, gateway, uses=41)
        teller.holds = True
        call = asyncio.create_task(ask(client, gateway, uses=1))
        await teller.arrived.acquire()
        await teller.arrived.acquire()
        [(_, _, _, held)] = await standing(gateway)
        assert held == 41
        teller.go_on.release()
        await call


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_is_more_than_what_is_left_is_refused_whatever_others_have_used(
    client: aiohttp.ClientSession, tmp_path: Path, stream: bool
) -> None:
    async with serving(tmp_path, {"name": "t", "tokens": 1000}) as (gateway, _, agent):
        assert (await ask(client, gateway, uses=10)).status == 200
        refused = await ask(client, gateway, uses=10, stream=stream, text="word" * 1000)
        assert (refused.status, refused.said["wanted"] > 1000) == (429, True)
        assert len(agent.seen) == 1


async def test_two_hundred_callers_at_a_budget_for_fifty_exactly_fifty_pass(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path, {"name": "m", "usd": 0.0005}) as (gateway, _, _):
        calls = [ask(client, gateway, uses=10, max_tokens=10, model="m-1") for _ in range(200)]
        statuses = [answer.status for answer in await asyncio.gather(*calls)]
        assert (statuses.count(200), statuses.count(429)) == (50, 150)
        assert await standing(gateway) == [("m", "usd", 500_000, 0)]
        assert sum(record["cost_nanousd"] or 0 for record in gateway.records()) == 500_000


async def test_a_threshold_is_logged_once_and_told_to_every_client(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "aiogate")
    budget = {"name": "t", "tokens": 1000, "warn_at": [0.8, 0.95], "per": ["principal"]}
    async with serving(tmp_path, budget) as (gateway, _, _):
        assert "X-Aiogate-Budget-Warning" not in (await ask(client, gateway, uses=790)).headers
        assert "X-Aiogate-Budget-Warning" not in (await ask(client, gateway, uses=20, max_tokens=20)).headers
        told = [
            (await ask(client, gateway, uses=1, max_tokens=1)).headers.get("X-Aiogate-Budget-Warning") for _ in range(3)
        ]
        assert told == ['"t";spent=0.810', '"t";spent=0.811', '"t";spent=0.812']
        assert "X-Aiogate-Budget-Warning" not in (await ask(client, gateway, "bob", uses=1)).headers
        await ask(client, gateway, uses=150, max_tokens=150)
        said = [record.getMessage() for record in caplog.records if "budget" in record.getMessage()]
        assert said == [
            "budget t has reached 0.8: 810 of 1000 tokens are spent (principal 'alice')",
            "budget t has reached 0.95: 963 of 1000 tokens are spent (principal 'alice')",
        ]


async def test_a_budget_begins_at_what_the_journal_says(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    budgets = ({**TOKENS, "per": ["department", "agent"]}, {**MONEY, "match": {"cost_center": "house"}})
    now = Now(NOON - 86_400)
    async with serving(tmp_path, *budgets, now=now) as (gateway, _, _):
        await ask(client, gateway, "alice/data", uses=90)
        now.seconds = NOON
        await ask(client, gateway, "alice/data", uses=30)
        await ask(client, gateway, "bob/data", uses=5)
        await ask(client, gateway, "carol/sales", uses=7)
        before = await standing(gateway)
    async with serving(tmp_path, *budgets, now=now) as (gateway, _, _):
        assert sorted(await standing(gateway)) == sorted(before)
        assert {spent for _, _, spent, _ in before} == {35, 7, 42_000}
        assert (await ask(client, gateway, "bob/data", uses=1, max_tokens=66)).status == 429
        assert (await ask(client, gateway, "carol/sales", uses=1, max_tokens=66)).status == 200


async def test_counters_survive_a_reload_and_follow_their_limit(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, TOKENS) as (gateway, _, agent):
        await ask(client, gateway, uses=100)
        assert (await ask(client, gateway, uses=1)).status == 429
        gateway.configure(config(agent.url, {**TOKENS, "tokens": 150}, {"name": "new", "tokens": 150}))
        report = await gateway.gateway.reloads.reload("api")
        assert report.successful, report
        assert sorted(await standing(gateway)) == [("new", "tokens", 100, 0), ("t", "tokens", 100, 0)]
        assert (await ask(client, gateway, uses=40, max_tokens=40)).status == 200
        assert (await ask(client, gateway, uses=40, max_tokens=40)).status == 429
        assert sorted(await standing(gateway)) == [("new", "tokens", 140, 0), ("t", "tokens", 140, 0)]


async def test_what_was_warned_of_is_not_logged_again_after_a_reload(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "aiogate.builtin")
    budget = {**TOKENS, "warn_at": [0.5]}
    async with serving(tmp_path, budget) as (gateway, _, agent):
        await ask(client, gateway, uses=60)
        gateway.configure(config(agent.url, {**budget, "tokens": 110}))
        assert (await gateway.gateway.reloads.reload("api")).successful
        assert (await ask(client, gateway, uses=1)).headers["X-Aiogate-Budget-Warning"] == '"t";spent=0.545'
    assert caplog.messages == ["budget t has reached 0.5: 60 of 100 tokens are spent"]


async def test_policies_see_the_share_of_the_tightest_budget(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    sections = {"pipeline": {"plugins": ["callers", "budgets", "policies", "cost"]}}
    rule = {"name": "spare", "deny": "usage.budget_share > 0.5"}
    async with serving(tmp_path, {"name": "wide", "tokens": 10_000}, TOKENS, **sections) as (gateway, _, agent):
        settings = config(agent.url, {"name": "wide", "tokens": 10_000}, TOKENS, **sections)
        settings["plugins"]["policies"] = {"rule": [rule]}
        gateway.configure(settings)
        assert (await gateway.gateway.reloads.reload("api")).successful
        assert (await ask(client, gateway, uses=50)).status == 200
        assert (await ask(client, gateway, uses=5)).status == 200
        refused = await ask(client, gateway, uses=1)
        assert (refused.status, refused.said["rule"]) == (403, "spare")


async def test_whom_no_budget_is_for_has_used_nothing_of_any(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    sections = {"pipeline": {"plugins": ["callers", "budgets", "policies", "cost"]}}
    other = {"name": "others", "tokens": 10, "match": {"principal": "somebody-else"}}
    async with serving(tmp_path, other, **sections) as (gateway, _, agent):
        settings = config(agent.url, other, **sections)
        settings["plugins"]["policies"] = {"rule": [{"name": "spare", "deny": "usage.budget_share > 0.5"}]}
        gateway.configure(settings)
        assert (await gateway.gateway.reloads.reload("api")).successful
        assert (await ask(client, gateway, uses=50)).status == 200


# streams


STREAM = {"stream": True, "model": "m-1"}


async def test_a_stream_is_cut_where_its_money_ends(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    budget = {"name": "m", "usd": 0.001, "slice_usd": 0.0001}
    async with serving(tmp_path, budget) as (gateway, teller, _):
        cut = await ask(client, gateway, events=1000, uses=25_000, **STREAM)
        assert cut.status == 200
        assert b"budget_exhausted" in cut.body
        assert teller.streamed < 100
        [(_, _, spent, held)] = await standing(gateway)
        assert held == 0
        assert 850_000 < spent <= 1_000_000
        [record] = gateway.records()
        assert (record["outcome"], record["rule"], record["cost_nanousd"]) == ("cut", "m", spent)


async def test_a_stream_may_finish_and_its_overdraft_is_recorded(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = {"name": "m", "usd": 0.001, "slice_usd": 0.0001, "on_exhausted": "finish"}
    async with serving(tmp_path, budget) as (gateway, _, _):
        whole = await ask(client, gateway, events=200, uses=5_000, **STREAM)
        assert whole.body.endswith(b"data: [DONE]\n\n")
        assert await standing(gateway) == [("m", "usd", 5_000_000, 0)]
        assert (await ask(client, gateway, uses=1)).status == 429
        [record, _] = gateway.records()
        assert (record["outcome"], record["cost_nanousd"]) == ("completed", 5_000_000)
    assert "budget m is overdrawn: 0.005 of 0.001 usd are spent" in caplog.messages


async def test_who_asks_for_a_stream_and_gets_something_else_is_metered_too(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    budget = {"name": "t", "tokens": 1000, "slice_tokens": 100}
    async with serving(tmp_path, budget) as (gateway, teller, _):
        cut = await ask(client, gateway, events=1000, type="text/plain", max_tokens=100_000, **STREAM)
        assert cut.status == 200
        assert teller.streamed < 100
        assert gateway.records()[0]["outcome"] == "cut"


async def test_what_a_stream_holds_grows_slice_by_slice(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    budget = {"name": "t", "tokens": 100_000, "slice_tokens": 100}
    async with serving(tmp_path, budget) as (gateway, teller, _):
        teller.holds = True
        call = asyncio.create_task(ask(client, gateway, events=40, uses=1000, **STREAM))
        holds = []
        for _ in range(40):
            await teller.arrived.acquire()
            [(_, _, _, held)] = await standing(gateway)
            holds.append(held)
            teller.go_on.release()
        await call
        assert holds == sorted(holds)
        assert holds[0] < 150
        assert 950 < holds[-1] < 1300
        assert all(later - earlier in {0, 100} for earlier, later in itertools.pairwise(holds))
        assert await standing(gateway) == [("t", "tokens", 1000, 0)]


async def test_many_streams_together_never_pass_a_budget_by_more_than_a_slice(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    budget = {"name": "t", "tokens": 4000, "slice_tokens": 100}
    async with serving(tmp_path, budget) as (gateway, _, _):
        answers = await asyncio.gather(*(ask(client, gateway, events=60, **STREAM) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        [(_, _, spent, held)] = await standing(gateway)
        assert held == 0
        assert 3000 < spent <= 4100
        assert {record["outcome"] for record in gateway.records()} == {"cut"}


async def test_who_hangs_up_pays_for_what_has_come(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, {"name": "t", "tokens": 100_000}) as (gateway, teller, _):
        teller.holds = True
        url, said = f"{gateway.url}/agents/teller", {"events": 100, **STREAM}
        async with client.post(url, json=said, headers={"X-Who": "alice"}) as response:
            for _ in range(20):
                await teller.arrived.acquire()
                await response.content.readany()
                teller.go_on.release()
        async with asyncio.timeout(SECONDS):
            while not gateway.records():
                await asyncio.sleep(0)
        [record] = gateway.records()
        assert record["outcome"] == "client_gone"
        [(_, _, spent, held)] = await standing(gateway)
        assert held == 0
        assert 450 < spent < 600
        assert spent == record["usage"]["input_tokens"] + record["usage"]["output_tokens"]


async def test_tokens_are_counted_where_an_answer_says_nothing(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path, {"name": "t", "tokens": 100_000}) as (gateway, _, agent):
        unpriced = config(agent.url, {"name": "t", "tokens": 100_000})
        unpriced["plugins"]["cost"]["price"] = []
        gateway.configure(unpriced)
        assert (await gateway.gateway.reloads.reload("api")).successful
        await ask(client, gateway, events=40, **STREAM)
        [record] = gateway.records()
        assert record["usage"]["source"] == "estimated"
        [(_, _, spent, _)] = await standing(gateway)
        assert 950 < spent < 1050


async def test_hang_ups_anywhere_in_a_stream_are_settled_once(tmp_path: Path) -> None:
    async with serving(tmp_path, {"name": "t", "tokens": 10**9, "slice_tokens": 20}) as (gateway, _, _):
        body = orjson.dumps({"events": 12, "uses": 300, **STREAM})
        lines = ("POST /agents/teller HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}")
        head = "\r\n".join((*lines, "", "")).encode()
        positions = range(1, 2200, HANG_UP_STEP)
        for position in positions:
            await hang_up(gateway.url, head + body, position)
        async with asyncio.timeout(SECONDS):
            while len(gateway.records()) < len(positions):
                await asyncio.sleep(0)
        used = [record["usage"] for record in gateway.records()]
        whole = sum(usage.get("input_tokens", 0) + usage.get("output_tokens", 0) for usage in used)
        assert await standing(gateway) == [("t", "tokens", whole, 0)]
        assert {record["outcome"] for record in gateway.records()} >= {"client_gone"}


async def hang_up(url: str, request: bytes, position: int) -> None:
    """Send a request, read so many bytes of what comes, and leave."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    got = 0
    while got < position and (chunk := await reader.read(position - got)):
        got += len(chunk)
    writer.transport.abort()


async def test_who_asks_for_a_capability_is_charged_for_the_agent_that_serves(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    budget = {"name": "t", "tokens": 100, "per": ["agent"]}
    async with serving(tmp_path, budget) as (gateway, _, agent):
        settings = config(agent.url, budget)
        settings["agents"] = {name: {"url": agent.url, "capabilities": ["chat"]} for name in ("first", "second")}
        gateway.configure(settings)
        assert (await gateway.gateway.reloads.reload("api")).successful
        url = f"{gateway.url}/capabilities/chat"
        served = []
        for _ in range(3):
            said = {"uses": 100, "max_tokens": 60}
            async with client.post(url, json=said, headers={"X-Who": "alice"}) as response:
                served.append((response.status, response.headers.get("X-Agent-Id")))
        assert served == [(200, "first"), (200, "second"), (429, None)]


async def test_a_body_that_is_not_to_be_read_is_not(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    budgets = {"budgets": {"budget": [{**TOKENS, "period": "day"}], "read_body_bytes": 0}}
    async with serving(tmp_path, TOKENS) as (gateway, teller, agent):
        settings = config(agent.url)
        settings["plugins"] |= budgets
        gateway.configure(settings)
        assert (await gateway.gateway.reloads.reload("api")).successful
        teller.holds = True
        call = asyncio.create_task(ask(client, gateway, uses=1, max_tokens=10))
        await teller.arrived.acquire()
        assert await standing(gateway) == [("t", "tokens", 0, 100)]  # whoever is unheard of holds what there is
        teller.go_on.release()
        assert (await call).status == 200


async def test_exchanges_that_no_budget_is_for_cost_and_hold_nothing(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path, {**TOKENS, "match": {"principal": "bob"}}) as (gateway, _, _):
        assert [(await ask(client, gateway, uses=90)).status for _ in range(3)] == [200, 200, 200]
        assert await standing(gateway) == []
