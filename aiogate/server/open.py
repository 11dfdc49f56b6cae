"""Opens an exchange from a request: what it asks for, from where, with which headers and body."""

from collections.abc import Mapping
from random import getrandbits
from typing import Final

from multidict import CIMultiDict, istr

from aiogate.agent import Agent
from aiogate.exchange import ANONYMOUS, Exchange
from aiogate.proxy.body import ClientBody
from aiogate.proxy.client_address import client_address
from aiogate.proxy.headers import clean_request
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.pace import Pace
from aiogate.proxy.target import Target
from aiogate.server.generation import Generation

__all__ = ["candidates", "look_round", "open_exchange", "with_all", "with_stand_ins"]

_EXPECT: Final = istr("Expect")
_EXPLAIN: Final = istr("X-Aiogate-Explain")
_TIMING: Final = istr("X-Aiogate-Timing")


def open_exchange(
    inbound: Inbound, target: Target, generation: Generation, pace: Pace | None = None
) -> tuple[ClientBody, Exchange]:
    """Return the request's body and the exchange, with the agents that the path names as its candidates.

    A path that names none that there is begins with all agents: what the plugins leave of them is what this principal
    may use, for lists and for the suggestions of a 404. Where the ranking is asked for no agent is named.
    """
    settings, clock, agent_id = generation.settings, generation.clock, target.agent_id
    named = settings.agents.get(agent_id) if agent_id is not None else None
    headers = CIMultiDict(inbound.headers)
    length = inbound.length
    max_body = settings.server.max_body if named is None or named.max_body is None else named.max_body
    expects = headers.get(_EXPECT)
    body = ClientBody(inbound, max_body, expects is not None and expects.lower() == "100-continue", pace)
    address = inbound.address
    if generation.trusted_proxies:
        address = client_address(address, headers, generation.trusted_proxies)
    spoofed = clean_request(headers)
    exchange = Exchange(  # by position: with so many names the call would take three times as long
        (getrandbits(128) | 1).to_bytes(16).hex(),
        clock,
        inbound.method,
        target.full_path,
        target.path,
        target.query,
        agent_id,
        "http",
        address,
        headers,
        int(length) if length is not None else None if inbound.has_body else 0,
        [named]
        if named is not None and not named.fallback
        else candidates(named, target.capabilities, settings.agents),
        body,
        generation.number,
        clock.monotonic(),
        clock.wall(),
        "",
        ANONYMOUS if settings.server.anonymous else None,
        named,
    )
    if named is None:
        look_round(exchange, target.capabilities, settings.agents)
    if spoofed:
        exchange.is_timed = inbound.headers.get(_TIMING) == "1"
        if inbound.headers.get(_EXPLAIN) == "1" and exchange.unavailable is None:
            exchange.explains = True
            exchange.agent = None
    return body, exchange


def candidates(named: Agent | None, capabilities: tuple[str, ...], agents: Mapping[str, Agent]) -> list[Agent]:
    """Return the agents that may serve: the one that is named and those in its place, or all that can do it."""
    if named is None:
        return with_all(capabilities, agents)
    return with_stand_ins(named, agents) if named.fallback else [named]


def with_stand_ins(agent: Agent, agents: Mapping[str, Agent]) -> list[Agent]:
    """Return an agent and those that may serve in its place, in their order: its own, then theirs."""
    found, ahead = {agent.id: agent}, [agent]
    while ahead:
        for name in ahead.pop(0).fallback:
            if name in agents and name not in found:
                found[name] = agents[name]
                ahead.append(agents[name])
    return list(found.values())


def with_all(capabilities: tuple[str, ...], agents: Mapping[str, Agent]) -> list[Agent]:
    """Return the agents that declare all of the capabilities, in the order of the config."""
    return [agent for agent in agents.values() if all(one in agent.capabilities for one in capabilities)]


def look_round(exchange: Exchange, capabilities: tuple[str, ...], agents: Mapping[str, Agent]) -> None:
    """Note what a path asks for that names no agent; where nobody can do that, the exchange is about all agents."""
    exchange.capabilities = capabilities
    if not capabilities or not exchange.candidates:
        exchange.candidates = list(agents.values())
        exchange.unavailable = {}
