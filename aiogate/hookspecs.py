"""The hook contract: when each hook is called, what it may return, what happens when it raises, what it costs.

Mark a method of a plugin class with ``hookimpl`` to answer a hook. ``plugins/README.md`` is the manual.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

import attrs
import pluggy

from aiogate.agent import Agent
from aiogate.board import Board
from aiogate.claims import Claim, State
from aiogate.errors import Refusal
from aiogate.exchange import Clock, Exchange, Reply

__all__ = ["PROJECT", "Finding", "Gateway", "Observer", "Ranked", "Spent", "hookimpl", "hookspec"]

PROJECT: Final = "aiogate"
hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)

Observer = Callable[[bytes], None]


@attrs.frozen(kw_only=True)
class Spent:
    """What the journal says that exchanges which have these names in common have used together.

    ``calls`` are those that were not refused.
    """

    principal: str | None = None
    key_id: str | None = None
    department: str | None = None
    agent: str | None = None
    cost_center: str | None = None
    calls: int = 0
    tokens: int = 0
    cost_nanousd: int = 0


class Gateway(Protocol):
    """What ``lifespan`` gets to see of the gateway."""

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the config, by id."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock that everything here goes by."""
        ...

    @property
    def generation(self) -> int:
        """How many configs have been in force, this one included."""
        ...

    @property
    def plugins(self) -> Mapping[str, object]:
        """The plugins of the config, by name, in its order; ask them for what they say that they answer, no more."""
        ...

    @property
    def state(self) -> State:
        """The counters that claims are taken from; they outlive every config."""
        ...

    def tell(self, event: str, *, agent: str | None = None, principal: str | None = None, **facts: object) -> None:
        """Let operators know of something, those who follow ``/api/events``: ``tell("breaker", agent=..., phase=...)``.

        ``event`` is a small word, ``facts`` are what JSON has words for. It costs next to nothing and reaches nobody
        else: what has to be kept belongs into the log. ValueError for a word that is none.

        .. versionadded:: 0.1
        """
        ...

    @property
    def board(self) -> Board:
        """Small facts that every gateway on the same state knows within a second; they outlive every config."""
        ...

    def spent(self, since: float) -> Iterable[Spent]:
        """Return what exchanges have used that started at ``since`` (wall seconds) or later, out of the journal.

        ``since`` goes back to its quarter of an hour. It reads files: call it in a thread. Raises ``AiogateError``
        where they cannot be read.
        """
        ...


@attrs.frozen(kw_only=True)
class Finding:
    """What one rule of a plugin makes of one agent, for ``aiogate explain``.

    A plugin that decides by rules may have a method ``explain(exchange, unknown) -> Iterable[Finding]``, which decides
    nothing. ``unknown`` are the names of values that nobody knows any more, as of an exchange out of the journal.

    Args:
        verdict: ``would deny`` is a rule's that is not enforced, ``unknown`` one's that needs what nobody knows.
        condition: the rule's own text.
        values: what the condition was asked on, by name.
        missing: names of the condition that have no value.
        failure: why it could not be decided.
    """

    rule: str
    agent: str
    verdict: Literal["passes", "denies", "would deny", "unknown"]
    condition: str = ""
    values: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    missing: tuple[str, ...] = ()
    failure: str | None = None


@attrs.frozen(kw_only=True)
class Ranked:
    """One candidate's place in a ranking, for ``aiogate explain`` and ``X-Aiogate-Explain``.

    A plugin that routes may have a method ``ranking(exchange) -> Sequence[Ranked] | None``: the candidates, best first,
    or None: not mine. It decides nothing and takes nothing.

    Args:
        reason: why it stands there, for a person.
        figures: what the place follows from, by name.
    """

    agent: Agent
    reason: str
    figures: Mapping[str, object] = attrs.field(factory=dict, hash=False)


class Hooks:
    """The hooks, in the order in which an exchange meets them.

    Each config builds its plugins anew. What a plugin has learnt goes on by a method ``inherit(previous)``, no hook: it
    is called on the new plugin with the one that had its name before, as the very last step before the new config is
    in force. Exchanges of the old config still end on ``previous``, so what is to be shared is shared, not copied. If
    it raises, the old config stays in force. A plugin of which there can be only one, as it owns a port, says
    ``outlives_reload = True``: while its class and settings stay the same, so does it, and ``lifespan`` is not called.
    """

    @hookspec
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object] | None:
        """Own something for as long as a config is in force: a connection, a task, a server.

        *Called* once per config, in config order: at start before the gateway listens, at a reload before the new
        config is in force. Left in reverse when the last exchange that began with the config has ended, or the gateway
        stops; entered and left in one task. For a while, the old plugin and the new one both run.

        *Return* an async context manager, or None.

        *If you raise* the start fails, or the reload: then the config before stays in force. The message names the
        plugin.

        *Cost*: none per exchange.

        .. versionadded:: 0.1
        """

    @hookspec
    def pre_request(self, exchange: Exchange) -> Awaitable[Refusal | Reply | None] | Refusal | Reply | None:
        """Decide whether the exchange may go on: authenticate, rule candidates out, edit what the agent will get.

        *Called* once per exchange, in config order, before anything is sent to an agent.

        *Return* None to let it go on, a ``Refusal`` to end it, or a ``Reply`` to answer in the place of an agent.
        ``exchange.rule_out(agent, refusal)`` takes one agent from the candidates; the exchange ends when none is left.

        *If you raise* the client gets 500 ``plugin_failed`` and nothing is sent to an agent. ``Refused`` is no
        failure: it refuses.

        *Cost*: you are on the path of every request; ``def`` is cheaper than ``async def``.

        .. versionadded:: 0.1
        """

    @hookspec
    def route(self, exchange: Exchange) -> Awaitable[Agent | None] | Agent | None:
        """Choose the agent that serves the exchange.

        *Called* in config order until one plugin answers, with at least one candidate left. When none answers, the
        first candidate serves. Where the path asks for capabilities it is called again, with what is left, when the
        claims on the agent that was chosen could not be taken.

        *Return* one of ``exchange.candidates``, or None: not mine.

        *If you raise*, or return an agent that is not a candidate, the client gets 500 ``plugin_failed``.

        *Cost*: as ``pre_request``.

        .. versionadded:: 0.1
        """

    @hookspec
    def claims(self, exchange: Exchange) -> Iterable[Claim] | None:
        """Say what the exchange takes from the counters: requests, tokens, money, one of so many at once.

        *Called* when ``exchange.agent`` is known; all plugins are asked, then all claims are taken in one atomic step
        or none is. Where the path asks for capabilities and that fails, the agent is ruled out, and you are called
        again for the next one: what you have noted for the one before is void. Likewise where an agent has a
        ``fallback`` and cannot serve; if it has failed, its claims were given back, and ``exchange.attempts`` says how.

        *Return* claims, or None. It is a plain ``def``: no I/O happens between the route and the claims.

        *If you raise* the client gets 500 ``plugin_failed``. ``Refused`` is no failure: it refuses the agent, nothing
        is taken, and the next one is tried, if there is one.

        *Cost*: as ``pre_request``; claims that depend on principal and agent alone are best kept.

        A claim of which the ``measure`` is tokens or nano-dollars takes an estimate; when the exchange has ended it is
        settled with what ``exchange.usage`` and ``exchange.cost_nanousd`` say then.

        .. versionadded:: 0.1
        """

    @hookspec
    def response_started(self, exchange: Exchange) -> Observer | None:
        """Look at the agent's response: status and headers now, the body as it passes.

        *Called* once per response of an agent, in config order, when ``exchange.status`` and
        ``exchange.response_headers`` are the agent's and the client has seen nothing. The headers may be edited.

        *Return* an observer or None. The observer is called with each chunk after it was written to the client (the
        last one before), and once with ``b""`` when the response has ended, however it ended, before the record is
        written. It must not keep the loop busy. ``exchange.cut(refusal)`` ends the response, from the observer or from
        anywhere else.

        *If you raise*, here or in the observer, it is logged, you observe no more of this response, and the stream
        goes on.

        *Cost*: an observer is on the path of every chunk.

        .. versionadded:: 0.1
        """

    @hookspec
    def post_response(self, exchange: Exchange) -> Awaitable[None] | None:
        """Take note of how the exchange ended: ``exchange.outcome``, ``usage``, ``cost_nanousd``, ``ended``.

        *Called* exactly once per exchange whatever happened, refusals and hang-ups included, in reverse config order,
        after the record is in the journal.

        *Return* nothing.

        *If you raise* it is logged and the other plugins are still called.

        *Cost*: none for the client, who has its answer; a gateway that stops waits for it, 10 s at most.

        .. versionadded:: 0.1
        """
