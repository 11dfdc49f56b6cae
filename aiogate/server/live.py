"""What is under way at this moment, for operators: every open exchange, how the agents do, how tight budgets are.

Put together when somebody asks and never before: an exchange keeps nothing for it. A view is of one process; ``merge``
makes one of the views of several.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiogate.claims import Counted, Measure
from aiogate.exchange import Exchange
from aiogate.journal.record import PATH_CHARACTERS
from aiogate.server.breaker_report import statuses_of
from aiogate.server.generation import Generation
from aiogate.server.house import House, UnderWay
from aiogate.server.merged import merged_budgets
from aiogate.usage import HELD, SO_FAR

__all__ = ["live_view", "merge"]

_SERVED_BADLY: Final = frozenset({"upstream_failed", "plugin_failed"})
_FAILED: Final = 500
_HALTED: Final = {"kill": "killed", "pause": "paused"}
_PERIOD: Final = Counted.PERIOD
_NANOUSD: Final = Measure.NANOUSD
_LOOKS_AT_ONCE: Final = 128
View = Mapping[str, Any]


async def live_view(house: House, generation: Generation) -> dict[str, Any]:
    """Return the open exchanges, the oldest first, and the agents with all that they have done since the start.

    Money is in nano-dollars; tokens and money of an exchange are estimates, its record will tell. Chunks pass between
    the looks at some exchanges and those at the next.
    """
    walks, found, loop = list(house.open_exchanges.values()), list[dict[str, Any]](), asyncio.get_running_loop()
    for first in range(0, len(walks), _LOOKS_AT_ONCE):
        now, loop_time = house.clock.monotonic(), loop.time()
        some = walks[first : first + _LOOKS_AT_ONCE]
        found += [_exchange(walk, now, loop_time) for walk in some if walk.exchange.outcome is None]
        await asyncio.sleep(0)
    return {"time": house.clock.wall(), "exchanges": found, "agents": _agents(house, generation, walks)}


def merge(views: Sequence[View]) -> dict[str, Any]:
    """Return the view of several processes as one."""
    exchanges = [one for view in views for one in view["exchanges"]]
    agents: dict[str, dict[str, Any]] = {}
    for view in views:
        for one in view["agents"]:
            known = agents.get(one["id"])
            agents[one["id"]] = dict(one) if known is None else _sum(known, one)
    return {
        "budgets": merged_budgets([view["budgets"] for view in views]),
        "time": max((view["time"] for view in views), default=0.0),
        "exchanges": sorted(exchanges, key=lambda one: -float(one["age_seconds"])),
        "agents": list(agents.values()),
    }


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**one}
    for name, figure in other.items():
        if isinstance(figure, int) and not isinstance(figure, bool):
            whole[name] = one.get(name, 0) + figure
        elif isinstance(figure, list):
            mine = one.get(name) or [[bound, 0] for bound, _ in figure]
            whole[name] = [[bound, count + more] for (bound, count), (_, more) in zip(mine, figure, strict=True)]
        elif whole.get(name) is None:
            whole[name] = figure
    return whole


def _exchange(walk: UnderWay, now: float, loop_time: float) -> dict[str, Any]:
    exchange, heard_at = walk.exchange, walk.heard_at
    principal, agent, started = exchange.principal, exchange.agent, exchange.started
    if exchange.first_byte is not None:
        phase = "streaming"
    else:
        phase = "waiting" if exchange.forwarded is not None else "deciding"
    path = exchange.full_path[:PATH_CHARACTERS]
    tokens, spent = _so_far(exchange)
    held_nanousd, held_tokens = _held(exchange)
    return {
        "request_id": exchange.id,
        "principal": None if principal is None else principal.id,
        "key_id": None if principal is None else principal.key_id,
        "department": None if principal is None else principal.department,
        "agent": exchange.target if agent is None else agent.id,
        "method": exchange.method[:16],
        "path": path if path.isascii() else path.encode("utf-8", "replace").decode(),
        "phase": phase,
        "status": exchange.status or None,
        "age_seconds": round(now - started, 3),
        "first_byte_seconds": None if exchange.first_byte is None else round(exchange.first_byte - started, 6),
        "silent_seconds": None if heard_at is None else round(max(0.0, loop_time - heard_at), 3),
        "bytes_out": exchange.bytes_out,
        "output_tokens": tokens,
        "spent_nanousd": spent,
        "held_nanousd": held_nanousd,
        "held_tokens": held_tokens,
        "generation": exchange.generation,
    }


def _so_far(exchange: Exchange) -> tuple[int | None, int | None]:
    """Return tokens and money by now, as far as anybody reckons with them."""
    so_far = exchange.get(SO_FAR)
    return (None, None) if so_far is None else so_far()


def _held(exchange: Exchange) -> tuple[int, int]:
    """Return what the tightest of its budgets holds for an exchange, nano-dollars and tokens."""
    if (held := exchange.get(HELD)) is not None:
        lines: Iterable[tuple[Measure, int]] = held()
    elif exchange.grant is not None:
        claims = (quota.claim for quota in exchange.quotas)
        lines = [(claim.measure, claim.amount) for claim in claims if claim.kind is _PERIOD]
    else:
        return 0, 0
    nanousd = tokens = 0
    for measure, amount in lines:
        if measure is _NANOUSD:
            nanousd = max(nanousd, amount)
        else:
            tokens = max(tokens, amount)
    return nanousd, tokens


def _agents(house: House, generation: Generation, walks: Iterable[UnderWay]) -> list[dict[str, Any]]:
    """Return what each agent has done, by its numbers for the metrics, and how it is."""
    under_way: dict[str, int] = {}
    for walk in walks:
        if (agent := walk.exchange.agent) is not None:
            under_way[agent.id] = under_way.get(agent.id, 0) + 1
    breakers, found = statuses_of(generation), []
    halted = {halt.agent: _HALTED[halt.kind] for halt in house.halts.current() if halt.is_of_agent}
    figures = house.metrics.figures()
    for agent_id in generation.agents:
        numbers = figures.get(agent_id)
        ends = {} if numbers is None else numbers.ends
        breaker = breakers.get(agent_id)
        found.append(
            {
                "id": agent_id,
                "open": under_way.get(agent_id, 0),
                "calls": sum(ends.values()),
                "refused": sum(count for (outcome, _), count in ends.items() if outcome == "refused"),
                "errors": sum(count for (outcome, status), count in ends.items() if _is_error(outcome, status)),
                "input_tokens": 0 if numbers is None else numbers.input_tokens,
                "output_tokens": 0 if numbers is None else numbers.output_tokens,
                "cost_nanousd": 0 if numbers is None else numbers.cost_nanousd,
                "seconds": [] if numbers is None else [list(bucket) for bucket in numbers.duration.buckets()],
                "breaker": None if breaker is None else breaker["phase"],
                "halted": halted.get(agent_id),
            }
        )
    return found


def _is_error(outcome: str, status: int) -> bool:
    return outcome in _SERVED_BADLY or (outcome == "completed" and status >= _FAILED)
