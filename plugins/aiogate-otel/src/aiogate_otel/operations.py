"""What an exchange was, in the words of the semantic conventions for HTTP and for GenAI.

Pure functions of an exchange that has ended. The GenAI names are those of the conventions' own repository.
"""

from collections.abc import Mapping
from typing import Final

from aiogate import Exchange, Outcome, Usage

__all__ = ["Attributes", "error_type", "http_attributes", "nanoseconds", "operation_of", "route_of", "usage_attributes"]

Attributes = dict[str, str | int | float | bool]

_OPERATIONS: Final = (
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/messages", "chat"),
    ("/api/chat", "chat"),
    ("/completions", "text_completion"),
    ("/embeddings", "embeddings"),
    (":generateContent", "generate_content"),
    (":streamGenerateContent", "generate_content"),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIRST_FAILURE: Final = 500
_TOKENS: Final[Mapping[str, str]] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}


def operation_of(path: str) -> str:
    """Return ``gen_ai.operation.name``, by the path that the agent was called at; most are just an agent's."""
    for ending, operation in _OPERATIONS:
        if path.endswith(ending):
            return operation
    return "invoke_agent"


def route_of(exchange: Exchange) -> str | None:
    """Return ``http.route``: of so many kinds as there are agents, whatever clients ask for."""
    return None if exchange.agent is None else f"/agents/{exchange.agent.id}"


def http_attributes(exchange: Exchange) -> Attributes:
    """Return what the conventions for HTTP servers ask of a span and of its metric."""
    method = exchange.method if exchange.method in _METHODS else "_OTHER"
    said: Attributes = {"http.request.method": method, "url.scheme": exchange.scheme}
    if exchange.status:
        said["http.response.status_code"] = exchange.status
    if (route := route_of(exchange)) is not None:
        said["http.route"] = route
    if (error := error_type(exchange)) is not None:
        said["error.type"] = error
    return said


def error_type(exchange: Exchange) -> str | None:
    """Return ``error.type``: the code of ours, else the status, else how it ended; None: there was no failure."""
    if exchange.refusal is not None and exchange.refusal.status >= _FIRST_FAILURE:
        return exchange.refusal.code
    if exchange.outcome in {Outcome.CUT, Outcome.UPSTREAM_FAILED, Outcome.PLUGIN_FAILED}:
        return exchange.refusal.code if exchange.refusal is not None else str(exchange.outcome)
    return str(exchange.status) if exchange.status >= _FIRST_FAILURE else None


def usage_attributes(usage: Usage) -> Attributes:
    """Return the tokens by class, as far as they are known."""
    return {name: tokens for field, name in _TOKENS.items() if (tokens := getattr(usage, field)) is not None}


def nanoseconds(exchange: Exchange, monotonic: float) -> int:
    """Return a moment of the exchange as nanoseconds since 1970."""
    return int((exchange.started_wall + (monotonic - exchange.started)) * 1e9)
