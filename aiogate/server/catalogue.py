"""The cards of A2A agents for the lists of agents: fetched as anybody may fetch them, and kept for a minute.

For the walk. A list never fails for an agent that is away: its entry says so. Knows nothing of who asks.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import attrs
import orjson

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.exchange import Exchange, Reply
from aiogate.proxy.agent_card import CardError, card_in
from aiogate.proxy.upstream import Upstream
from aiogate.server.spoken import held, places_of

__all__ = ["Cards", "with_cards"]

_PATHS: Final = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Where 0.3 and 1.0 have the card, and where 0.2 had it."""
_FETCH_SECONDS: Final = 2.0
_KEPT_SECONDS: Final = 60.0
_FAILURE_KEPT_SECONDS: Final = 5.0

Found = dict[str, Any]


@attrs.define(eq=False)
class Cards:
    """The cards that were fetched lately, by agent and the gateway's address; those of old configs go with the next."""

    _kept: dict[tuple[Agent, str], tuple[float, Found]] = attrs.field(factory=dict)

    async def of(self, agent: Agent, upstream: Upstream, public: str, now: float) -> Found:
        """Return ``{"card": ...}``, or why there is none; it never raises for what an agent does."""
        kept = self._kept.get((agent, public))
        if kept is not None and now < kept[0]:
            return kept[1]
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                found: Found = {"card": await _fetched(agent, upstream, public)}
        except (UpstreamError, CardError, TimeoutError, ConnectionError) as error:
            found = {"card": None, "card_error": str(error) or f"no card within {_FETCH_SECONDS:g} s"}
        for old in [place for place in self._kept if place[0].id == agent.id]:
            del self._kept[old]
        self._kept[agent, public] = now + (_FAILURE_KEPT_SECONDS if found["card"] is None else _KEPT_SECONDS), found
        return found


async def with_cards(reply: Reply, exchange: Exchange, cards: Cards, upstream: Upstream, public: str) -> Reply:
    """Return a list of agents, or one entry of it, with the card of each agent that speaks A2A."""
    agents = {agent.id: agent for agent in exchange.candidates if agent.protocol == "a2a" and agent.rewrite_card}
    said = orjson.loads(reply.body)
    entries = [one for one in said.get("agents", [said]) if one.get("id") in agents]
    if not entries:
        return reply
    now = exchange.clock.monotonic()
    found = await asyncio.gather(*(cards.of(agents[one["id"]], upstream, public, now) for one in entries))
    for one, card in zip(entries, found, strict=True):
        one["card_url"] = f"{public}{one['path']}{_PATHS[0]}"
        one.update(card)
    return attrs.evolve(reply, body=orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))


async def _fetched(agent: Agent, upstream: Upstream, public: str) -> Any:  # noqa: ANN401 - JSON as it is
    destination = upstream.to(agent)
    failed: UpstreamError | None = None
    for place in range(len(agent.urls) or 1):
        way = destination.at(place)
        try:
            for path in _PATHS:
                response, head = await way.open("GET", way.envelope.probe(path), None)
                try:
                    if head.status == HTTPStatus.OK:
                        body = await held(response, agent)
                        return orjson.Fragment(card_in(body, places_of(agent, public), in_result=False))
                finally:
                    response.close()
        except UpstreamError as error:
            failed = error
    if failed is not None:
        raise failed
    msg = f"agent {agent.id!r} has no card at {' or '.join(_PATHS)}"
    raise CardError(msg)
