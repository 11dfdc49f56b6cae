"""Ends the exchanges under way that a kill is about, and has A2A agents stop the tasks that they began."""

import logging
from collections.abc import Callable
from typing import Final

from aiogate.errors import Refusal, UpstreamError
from aiogate.exchange import Exchange, Principal
from aiogate.proxy.deadline import Deadline
from aiogate.server.halts.halt import Halt
from aiogate.server.halts.tasks import cancelling, task_of
from aiogate.server.house import House

__all__ = ["cut_all", "cut_those", "tell"]

_log: Final = logging.getLogger(__name__)
_CANCEL_SECONDS: Final = 5.0


def cut_all(house: House, halt: Halt) -> int:
    """Cut them, all in this moment; return how many there were. One without a caller yet is judged when it has one."""

    def is_about(principal: Principal, exchange: Exchange) -> bool:
        agent = exchange.agent
        return halt.is_about(principal, exchange.id, None if agent is None else agent.id)

    count = cut_those(house, halt.refusal(house.clock.wall()), is_about)
    if count:
        _log.warning("kill %s by %s has ended %d exchanges: %s", halt.id, halt.actor, count, halt.reason)
    return count


def cut_those(house: House, why: Refusal, is_about: Callable[[Principal, Exchange], bool]) -> int:
    """Cut the exchanges that something is about, of those that have a caller; return how many there were."""
    count = 0
    for exchange in house.under_way():
        principal = exchange.principal
        if principal is None or exchange.outcome is not None or exchange.cut_by is not None:
            continue
        if not is_about(principal, exchange):
            continue
        count += 1
        walk = house.open_exchanges.get(exchange.id)
        task = None if walk is None else task_of(exchange, walk.answer.opening)
        exchange.cut(why)
        if task is not None:
            house.tasks.spawn(_cancel(house, exchange, task))
    return count


def tell(house: House, halt: Halt) -> None:
    """Tell those who follow the events that one has come into force, or was lifted."""
    facts = {name: value for name, value in halt.targets.items() if name not in {"agent", "principal"}}
    facts |= {"id": halt.id, "action": "lift" if halt.lifted else halt.kind, "reason": halt.reason, "actor": halt.actor}
    house.events.tell("kill", agent=halt.agent, principal=halt.principal, **facts)


async def _cancel(house: House, exchange: Exchange, task: tuple[str, str]) -> None:
    """Tell the agent that nobody waits for a task any more; what comes of it is in the log at most."""
    agent = exchange.agent
    if agent is None:
        return
    method, task_id = task
    body = cancelling(method, task_id)
    try:
        destination = house.upstream.to(agent)
        head = destination.envelope.head(exchange, f"\r\nContent-Length: {len(body)}", "")
        with Deadline(_CANCEL_SECONDS):
            response, said = await destination.open("POST", head, body, chunked=False, upgrade=False)
        response.close()
    except (UpstreamError, TimeoutError, KeyError) as error:
        _log.warning("exchange %s: agent %r was not told to cancel task %r: %s", exchange.id, agent.id, task_id, error)
    else:
        _log.info(
            "exchange %s: agent %r was told %s of task %r: %d", exchange.id, agent.id, method, task_id, said.status
        )
