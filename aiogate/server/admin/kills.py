"""Kills agents, callers and requests, pauses agents, and takes it back; for operators.

A kill is done even when the journal cannot be written: it is what an operator has left then. The answer says so.
"""

import logging
from difflib import get_close_matches
from typing import Any, Final

import attrs
from aiohttp import web

from aiogate.errors import Refused, refusal
from aiogate.journal.record import timestamp
from aiogate.server.admin.answers import json
from aiogate.server.admin.asked import BY_WHOM, Asked, asked_of, write_down
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.halts import Halt
from aiogate.server.halts.halt import TARGETS, Kind, duration
from aiogate.server.halts.in_force import Done
from aiogate.server.siblings import from_a_sibling

__all__ = ["HALT", "KNOW", "ROUTES", "know", "plain_halt"]

KNOW: Final = "/siblings/kill"
"""Where workers of one machine tell each other of a kill, and hear how many exchanges it has ended there."""
_log: Final = logging.getLogger(__name__)
_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_FACTS: Final[dict[str, Schema]] = {
    "id": _TEXT,
    "kind": {"enum": ["kill", "pause"]},
    **dict.fromkeys(TARGETS, _TEXT),
    "reason": _TEXT,
    "actor": _TEXT,
    "since": _TIME,
    "until": {"type": ["string", "null"], "format": "date-time"},
    "seconds_left": {"type": ["number", "null"]},
}
HALT: Final[Schema] = {
    "type": "object",
    "required": ["id", "kind", "reason", "actor", "since", "until", "seconds_left"],
    "additionalProperties": False,
    "properties": _FACTS,
}
_DONE: Final[Schema] = {
    "type": "object",
    "required": [*HALT["required"], "cut", "everywhere", "kept", "journaled"],
    "additionalProperties": False,
    "properties": {
        **_FACTS,
        "cut": {"type": "integer", "description": "Exchanges that it has ended on this machine."},
        "everywhere": {"type": "boolean", "description": "All gateways know; else they are told as soon as they can."},
        "kept": {"type": "boolean", "description": "It outlives a restart of this process."},
        "journaled": {"type": "boolean"},
    },
}
_FOR: Final[Schema] = {"type": "string", "description": "For how long: 90s, 10m, 2h, 7d; without it, until lifted."}


def plain_halt(halt: Halt, wall: float) -> dict[str, Any]:
    """Return a kill or a pause as lists have it."""
    return {
        "id": halt.id,
        "kind": halt.kind,
        **halt.targets,
        "reason": halt.reason,
        "actor": halt.actor,
        "since": timestamp(halt.since),
        "until": None if halt.until is None else timestamp(halt.until),
        "seconds_left": None if halt.until is None else round(max(0.0, halt.until - wall), 3),
    }


async def _list(request: web.Request) -> web.Response:
    house = gateway_of(request).house
    return json([plain_halt(halt, house.clock.wall()) for halt in house.halts.current()])


async def _kill(request: web.Request) -> web.Response:
    gateway, asked = gateway_of(request), await asked_of(request)
    unknown = asked.facts.keys() - {*TARGETS, "for"}
    if unknown:
        raise Refused(refusal("bad_request", f"{min(unknown)}: there is no such thing to kill: {', '.join(TARGETS)}"))
    halt = _made(gateway, asked, "kill", **{name: asked.text(name) for name in TARGETS})
    if halt.agent is not None:
        _known_agent(gateway, halt.agent)
    if halt.request is not None and not _may_be_under_way(gateway, halt.request):
        raise Refused(refusal("not_found", f"no exchange {halt.request!r} is under way"))
    return await _begun(gateway, asked, halt)


async def _lift(request: web.Request) -> web.Response:
    gateway, asked = gateway_of(request), await asked_of(request)
    return json(await _lifted(gateway, asked, request.match_info["id"]))


async def _pause(request: web.Request) -> web.Response:
    gateway, asked = gateway_of(request), await asked_of(request)
    agent_id = _known_agent(gateway, request.match_info["agent"])
    before = _pauses(gateway, agent_id)
    answer = await _begun(gateway, asked, _made(gateway, asked, "pause", agent=agent_id))
    for halt in before:  # the last word counts
        await gateway.house.halts.lift(halt.id)
    return answer


async def _resume(request: web.Request) -> web.Response:
    gateway, asked = gateway_of(request), await asked_of(request)
    agent_id = _known_agent(gateway, request.match_info["agent"])
    pauses = _pauses(gateway, agent_id)
    if not pauses:
        raise Refused(refusal("unknown_halt", f"agent {agent_id!r} is not paused"))
    return json([await _lifted(gateway, asked, halt.id) for halt in pauses])


async def know(request: web.Request) -> web.Response:
    """Obey what another worker of this machine was told."""
    if not from_a_sibling(request):
        raise Refused(refusal("not_found", "there is no such route"))
    return json(gateway_of(request).house.halts.know(Halt.decode(await request.read())))


def _made(gateway: Running, asked: Asked, kind: Kind, **targets: str | None) -> Halt:
    if not asked.reason:
        raise Refused(refusal("bad_request", "reason: say why; callers are told, and it is in the journal"))
    given = asked.text("for")
    try:
        seconds = None if given is None else duration(given)
        return gateway.house.halts.make(kind=kind, reason=asked.reason, actor=asked.actor, seconds=seconds, **targets)
    except ValueError as error:
        raise Refused(refusal("bad_request", str(error))) from error


async def _begun(gateway: Running, asked: Asked, halt: Halt) -> web.Response:
    done = await gateway.house.halts.begin(halt)
    if gateway.house.siblings.folder is not None:
        others = await gateway.house.siblings.gather(KNOW, "POST", attrs.asdict(halt))
        done = attrs.evolve(done, cut=done.cut + sum(others))
    return json(_said(gateway, done, journaled=_journaled(gateway, halt.kind, asked, halt)))


async def _lifted(gateway: Running, asked: Asked, halt_id: str) -> dict[str, Any]:
    done = await gateway.house.halts.lift(halt_id)
    journaled = _journaled(gateway, "resume" if done.halt.kind == "pause" else "lift", asked, done.halt)
    return _said(gateway, done, journaled=journaled)


def _journaled(gateway: Running, action: str, asked: Asked, halt: Halt) -> bool:
    about = {
        ("key_id" if name == "key" else f"{name}_id" if name == "request" else name): value
        for name, value in halt.targets.items()
    }
    seconds = None if halt.until is None else round(halt.until - halt.since, 3)
    try:
        write_down(gateway, action, asked, halt=halt.id, for_seconds=seconds, **about)
    except Refused:
        _log.error("%s %s by %s is not in the journal: it cannot be written", action, halt.id, asked.actor)
        return False
    return True


def _said(gateway: Running, done: Done, *, journaled: bool) -> dict[str, Any]:
    plain = plain_halt(done.halt, gateway.house.clock.wall())
    return {**plain, "cut": done.cut, "everywhere": done.everywhere, "kept": done.kept, "journaled": journaled}


def _pauses(gateway: Running, agent_id: str) -> list[Halt]:
    return [halt for halt in gateway.house.halts.current() if halt.kind == "pause" and halt.agent == agent_id]


def _known_agent(gateway: Running, agent_id: str) -> str:
    agents = gateway.generation.agents
    if agent_id not in agents:
        close = get_close_matches(agent_id, agents, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise Refused(refusal("unknown_agent", f"there is no agent {agent_id!r}{hint}"))
    return agent_id


def _may_be_under_way(gateway: Running, request_id: str) -> bool:
    """Tell whether there may be such an exchange: where gateways share a state it may be another's."""
    is_alone = gateway.generation.settings.state.url.reveal() == "memory://"
    return not is_alone or any(exchange.id == request_id for exchange in gateway.house.under_way())


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/kills",
        handler=_list,
        summary="The kills and pauses in force, the oldest first.",
        answer={"type": "array", "items": HALT},
    ),
    Route(
        method="POST",
        path="/api/kills",
        handler=_kill,
        summary="End what is under way of an agent, a caller or a request, and let nothing new in.",
        answer=_DONE,
        body={
            "type": "object",
            "additionalProperties": False,
            "required": ["reason"],
            "properties": {**dict.fromkeys(TARGETS, _TEXT), "for": _FOR, **BY_WHOM},
        },
        problems=("bad_request", "unknown_agent", "not_found", "too_many_halts"),
    ),
    Route(
        method="DELETE",
        path="/api/kills/{id}",
        handler=_lift,
        summary="Lift a kill or a pause.",
        answer=_DONE,
        query=BY_WHOM,
        problems=("unknown_halt", "state_unavailable"),
    ),
    Route(
        method="POST",
        path="/api/agents/{agent}/pause",
        handler=_pause,
        summary="Let nothing new in for an agent; what is under way goes on.",
        answer=_DONE,
        query={**BY_WHOM, "for": _FOR},
        problems=("bad_request", "unknown_agent", "too_many_halts"),
    ),
    Route(
        method="POST",
        path="/api/agents/{agent}/resume",
        handler=_resume,
        summary="Take back what has paused an agent.",
        answer={"type": "array", "items": _DONE},
        query=BY_WHOM,
        problems=("unknown_agent", "unknown_halt", "state_unavailable"),
    ),
)
