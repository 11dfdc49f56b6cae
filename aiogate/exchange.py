"""The nouns of the gateway: an exchange and who takes part in it.

For plugins and for every floor above. Knows nothing of sockets, configs or plugins.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import attrs
from multidict import CIMultiDict

from aiogate.agent import Agent
from aiogate.calls import CALL_BYTES, TOO_LONG, Call, call_of
from aiogate.claims import Grant, Quota
from aiogate.errors import Refusal

__all__ = [
    "ANONYMOUS",
    "Attempt",
    "Clock",
    "Exchange",
    "Key",
    "Outcome",
    "Principal",
    "Reply",
    "RequestBody",
    "Usage",
]

T = TypeVar("T")


class Outcome(StrEnum):
    """How an exchange ended."""

    COMPLETED = "completed"
    REFUSED = "refused"
    UPSTREAM_FAILED = "upstream_failed"
    CLIENT_GONE = "client_gone"
    CUT = "cut"
    PLUGIN_FAILED = "plugin_failed"


@attrs.frozen(kw_only=True)
class Principal:
    """The authenticated caller."""

    id: str
    roles: frozenset[str] = frozenset()
    department: str | None = None
    key_id: str | None = None
    cost_center: str | None = None
    attributes: Mapping[str, str] = attrs.field(factory=dict, hash=False)


ANONYMOUS: Final = Principal(id="anonymous")
"""Whoever calls a gateway with ``anonymous = true`` and was not authenticated; compare with ``is``."""


@attrs.frozen(kw_only=True, slots=False)  # made for every answer, and without slots in half the time
class Usage:
    """What an agent used for one answer.

    ``source`` says where the figures came from: ``measured``, ``declared``, ``estimated``, ``flat`` or ``unknown``.
    ``input_tokens`` include the cached ones and those written to a cache (the ones kept for an hour are counted in
    those again), ``output_tokens`` the reasoning ones, both the audio ones. None: not said.
    """

    source: str = "unknown"
    model: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    output_audio_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Input and output together, 0 where neither was said; what limits and budgets count."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


_QUICK_BYTES: Final = 65536
"""So much JSON is read in the loop."""
_UNKNOWN_USAGE: Final = Usage()
_UNAVAILABLE: Final = 503
_ENDS: Final = frozenset({429, 503})
"""Refusals that end by themselves: they say when, or it is in a second."""


@attrs.frozen(kw_only=True)
class Reply:
    """A whole answer that a plugin gives in the place of an agent."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class Attempt:
    """One time that a request was sent to an agent with several endpoints, retries or a fallback, or tried to be.

    Args:
        endpoint: host and port, or the socket's path.
        began: monotonic seconds; ``seconds`` later it had failed or the head of the response was there.
        status: of the response; None: there was none, and ``code`` says why.
        retry_after_seconds: what the response's ``Retry-After`` asks for; 0: nothing.
    """

    agent: Agent
    endpoint: str
    began: float
    seconds: float
    status: int | None = None
    code: str | None = None
    retry_after_seconds: float = 0.0


class Key(Generic[T]):
    """Names a plugin's own typed datum on an exchange: ``RESERVED = Key[int]("limits.reserved")``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        """Give the key a name for people; two keys of one name are two keys."""
        self.name = name

    def __repr__(self) -> str:
        """Return the key with its name."""
        return f"Key({self.name!r})"


class RequestBody(Protocol):
    """The body of a request that has not been read yet."""

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises ``Refused`` (413) when it is longer than ``max_bytes``."""
        ...


@attrs.frozen
class Clock:
    """The two clocks that logic may look at; tests pass their own.

    ``monotonic`` gives float seconds for durations, ``wall`` float seconds since 1970 for records.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


@attrs.define(eq=False)
class Exchange:
    """One request and its response on their way through the gateway, and everything known about them.

    Args:
        id: the request id, 32 hexadecimal digits; also ``X-Request-Id``.
        method: HTTP method as the client sent it.
        path: what follows ``/agents/{id}`` or ``/capabilities/{capability}`` up to the query, as it was encoded: ``""``
            or ``/chat``.
        query: what follows ``?``, as it was encoded, or ``""``.
        full_path: the whole path on the gateway without the query.
        client_address: address of the peer.
        request_headers: what the agent will be sent; a plugin may edit them.
        content_length: of the request's body; None when it is chunked.
        candidates: agents that may still serve the exchange, best first.
        target: the agent's id that the path names, whether there is one or not; None: it names none.
        scheme: ``http`` or ``https`` towards the client.
        response_fields: the agent's headers as it sent them, for those who only look; edit ``response_headers``.
        content_type: of the response, as the agent sent it, or ``""``; ``content_encoding`` likewise.
        budget_share: of the tightest budget that the exchange is charged to, what is used and held; 1.0 is all of it,
            None: nobody says.
        degraded: counters that several gateways share could not be reached, and this one decided by itself.
        shadow_rules: names of the rules that would have refused the exchange if they were enforced.
        capabilities: what the path asks for in the place of an agent; one that serves has all of them.
        unavailable: None where an agent is to serve. Of a list, the agents on it that could not serve now, by id: there
            a 503 rules nobody out, for the list is of what one may use, not of what is up.
        cost_centers: who pays, each with a percentage, where a plugin has said so; else it is the cost centre of the
            agent, or of the principal.
        is_timed: somebody asks how long the stages take; an operator is told.
        explains: an operator asks for the ranking, and nothing is to be sent.
        attempts: how often it was sent, and where, of an agent with several endpoints, retries or a fallback.
        messages_in: how many whole messages of a WebSocket the client has sent, ``messages_out`` the agent; None: it is
            none.
        cut_by: why the exchange was cut, if it was.
        cors: header lines of its answer for browsers, each with CRLF before it.
        interrupt: the gateway's own: what ``cut`` wakes it by.
        edited_headers: ``response_headers`` where anybody has asked for them and may have edited them.
        longest_gap: seconds; the longest silence of the agent between two pieces of its response; None: there was one.
        call: what was called, of an agent with a ``protocol``; None: nobody has looked yet.
        call_failure: of an answer of 200, the code of the JSON-RPC error in it, ``-32603``, or ``isError`` of a tool.
    """

    id: str
    clock: Clock
    method: str
    full_path: str
    path: str
    query: str
    target: str | None
    scheme: str
    client_address: str
    request_headers: CIMultiDict[str]
    content_length: int | None
    candidates: list[Agent]
    request_body: RequestBody
    generation: int
    started: float
    started_wall: float
    trace_id: str = ""
    principal: Principal | None = None
    agent: Agent | None = None
    refusal: Refusal | None = None
    grant: Grant | None = None
    quotas: tuple[Quota, ...] = ()
    budget_share: float | None = None
    degraded: bool = False
    shadow_rules: tuple[str, ...] = ()
    status: int = 0
    response_fields: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    content_type: str = ""
    content_encoding: str = ""
    outcome: Outcome | None = None
    usage: Usage = _UNKNOWN_USAGE
    cost_nanousd: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int | None = None
    messages_out: int | None = None
    forwarded: float | None = None
    first_byte: float | None = None
    answered: float | None = None
    ended: float | None = None
    capabilities: tuple[str, ...] = ()
    unavailable: dict[str, Refusal] | None = None
    cost_centers: tuple[tuple[str, float], ...] = ()
    explains: bool = False
    is_timed: bool = False
    attempts: tuple[Attempt, ...] = ()
    cut_by: Refusal | None = None
    cors: str = ""
    interrupt: Callable[[], None] | None = None
    call: Call | None = None
    call_failure: str | None = None
    longest_gap: float | None = None
    edited_headers: CIMultiDict[str] | None = None
    _body: bytes | None = None
    _ruled_out: tuple[tuple[Agent, Refusal], ...] = ()
    _data: dict[Key[Any], Any] | None = None

    def __getitem__(self, key: Key[T]) -> T:
        """Return a plugin's datum; KeyError when it was never set."""
        if self._data is None:
            raise KeyError(key)
        return cast("T", self._data[key])

    def __setitem__(self, key: Key[T], value: T) -> None:
        """Keep a plugin's datum for as long as the exchange lives."""
        if self._data is None:
            self._data = {}
        self._data[key] = value

    def get(self, key: Key[T], default: T | None = None) -> T | None:
        """Return a plugin's datum, or ``default``."""
        return default if self._data is None else self._data.get(key, default)

    def forget(self, key: Key[Any]) -> None:
        """Drop a plugin's datum, if it was set."""
        if self._data is not None:
            self._data.pop(key, None)

    @property
    def response_headers(self) -> CIMultiDict[str]:
        """The response's headers, which a plugin may edit; made of ``response_fields`` when somebody asks for them."""
        headers = self.edited_headers
        if headers is None:
            fields = self.response_fields
            headers = self.edited_headers = CIMultiDict(
                [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
            )
        return headers

    @response_headers.setter
    def response_headers(self, headers: CIMultiDict[str]) -> None:
        self.edited_headers = headers

    def cut(self, why: Refusal) -> None:
        """End the exchange now, whatever it waits for: a silent agent, a slow client, a body on its way up.

        For observers, tasks of plugins and operators; to be called on the gateway's loop, at any moment, from anywhere.
        A client that has not been sent anything yet gets ``why`` as an ordinary refusal. A stream ends with a terminal
        event in its dialect and an aborted connection, a WebSocket is closed. The outcome is ``cut``, the record has
        the refusal, what was used until now is charged. What an observer has just been shown has left already, but for
        a response's last bytes: these do not leave any more. The first cut counts; one that has ended stays as it is.
        """
        if self.cut_by is None and self.outcome is None:
            self.cut_by = why
            if self.interrupt is not None:
                self.interrupt()

    def rule_out(self, agent: Agent, why: Refusal) -> None:
        """Take an agent from the candidates; the client gets ``why`` (or a softer one) when none is left.

        Where agents are only listed, one that is ruled out with a 503 stays, and is listed as unavailable.
        """
        if self.unavailable is not None and why.status == _UNAVAILABLE:
            self.unavailable.setdefault(agent.id, why)
            return
        self.candidates.remove(agent)
        self._ruled_out += ((agent, why),)

    @property
    def ruled_out(self) -> tuple[Refusal, ...]:
        """Why candidates were ruled out, in the order in which they were."""
        return tuple(why for _, why in self._ruled_out)

    @property
    def lost(self) -> tuple[tuple[Agent, Refusal], ...]:
        """The agents that were ruled out, each with the reason."""
        return self._ruled_out

    @property
    def softest_refusal(self) -> Refusal | None:
        """Of the reasons why candidates were ruled out the one that ends soonest: 503 and 429 before 403."""
        return min((why for _, why in self._ruled_out), key=_hardness, default=None)

    @property
    def body(self) -> bytes | None:
        """The request's body if a plugin has read or replaced it; None while it is still to be streamed."""
        return self._body

    async def read_body(self, max_bytes: int) -> bytes:
        """Return the request's whole body, read once; raises ``Refused`` (413) over ``max_bytes``."""
        if self._body is None:
            self._body = await self.request_body.read(max_bytes)
        return self._body

    async def read_call(self, protocol: str) -> Call:
        """Return what the request calls in a protocol, ``a2a`` or ``mcp``; raises ``Refused`` (413) as ``read_body``.

        Its body is read for that, ``CALL_BYTES`` at most. See ``Call.unclear`` for what decides nothing.
        """
        body: bytes | None = b""
        if self.method == "POST":
            is_long = self.content_length is not None and self.content_length > CALL_BYTES
            body = None if is_long else await self.read_body(CALL_BYTES)
        if body is None and protocol == "mcp":
            return Call(protocol=protocol, unclear=TOO_LONG)
        asked = (protocol, self.method, self.path, self.request_headers, body)
        if body is not None and len(body) > _QUICK_BYTES:  # the loop has others to serve
            return await asyncio.to_thread(call_of, *asked)
        return call_of(*asked)

    def replace_body(self, body: bytes) -> None:
        """Send the agent ``body`` in the place of what the client sent. Call it after ``read_body``."""
        if self._body is None:
            msg = "replace_body needs read_body first: the client's body is still on its way"
            raise RuntimeError(msg)
        self._body = body


def _hardness(why: Refusal) -> float:
    """Return in how many seconds a refusal may be none any more."""
    if why.retry_after_seconds is not None:
        return why.retry_after_seconds
    return 1.0 if why.status in _ENDS else float("inf")
