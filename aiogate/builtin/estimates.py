"""What an exchange may use, before anybody knows: from what its request asks for, else from what others have used.

For ``limits`` and ``budgets``; ``cost`` learns the means. An estimate is only ever held: what counts in the end is what
the exchange has used. Knows nothing of counters.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs
import orjson

from aiogate import Exchange, Gateway, Key, Usage

__all__ = ["MOST_BYTES", "NOTHING_ASKED", "Asked", "Means", "Measures", "asked", "asked_of", "estimate", "measures_of"]

MOST_BYTES: Final = 256 * 1024
"""A longer body of a request is not looked at."""

_BYTES_A_TOKEN: Final = 4
_MOST_COUNTED_BYTES: Final = 64 * 1024
_MOST_TOKENS: Final = 10**9
_MOST_CHOICES: Final = 1024
_SHARE: Final = 8
"""A new figure moves a mean by one part of so many."""
_STEP: Final = 16
"""One answer counts as at most so many times the mean, so that a single absurd one does not stop everybody."""
_LEAST_STEP: Final = 1000
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_INSIDE: Final = (("generationConfig", "maxOutputTokens"), ("options", "num_predict"))


@attrs.frozen
class Asked:
    """What a request asks for: the most tokens of all its answers together, a model, and whether in a stream."""

    output_tokens: int | None = None
    model: str | None = None
    streamed: bool = False


NOTHING_ASKED: Final = Asked()
_ASKED: Final = Key[Asked]("estimates.asked")


def asked_of(exchange: Exchange) -> Asked:
    """Return what a request asks for, as far as anybody has read it; looked at once."""
    body = exchange.body
    if body is None or len(body) > MOST_BYTES:
        return NOTHING_ASKED
    known = exchange.get(_ASKED)
    if known is None:
        known = exchange[_ASKED] = asked(body)
    return known


def asked(body: bytes | None) -> Asked:
    """Return what the body of a request asks for, as far as it is JSON of a known dialect."""
    try:
        said = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return NOTHING_ASKED
    if not isinstance(said, dict):
        return NOTHING_ASKED
    model = said.get("model")
    return Asked(_most_tokens(said), model if isinstance(model, str) else None, said.get("stream") is True)


def _most_tokens(said: Mapping[str, Any]) -> int | None:
    named = [said.get(name) for name in _LIMITS]
    for outer, inner in _INSIDE:
        table = said.get(outer)
        if isinstance(table, dict):
            named.append(table.get(inner))
    # which of several an agent goes by is its business: the largest, or a small one beside it would pass a budget
    most = max((one for one in named if type(one) is int and 0 < one <= _MOST_TOKENS), default=None)
    choices = said.get("n")
    if most is not None and type(choices) is int and 1 < choices <= _MOST_CHOICES:
        return most * choices
    return most


def estimate(exchange: Exchange, request: Asked, output_tokens: int) -> Usage:
    """Return the usage of an exchange if its answer has so many tokens; four bytes of its request are one.

    Of a long request only the beginning counts: most of it is an image or a file, which are few tokens.
    """
    size = min(exchange.content_length or len(exchange.body or b""), _MOST_COUNTED_BYTES)
    return Usage(
        source="estimated",
        model=request.model,
        input_tokens=-(-size // _BYTES_A_TOKEN),
        output_tokens=output_tokens,
    )


@attrs.define
class Means:
    """What the exchanges of each agent have used lately: tokens of request and answer, and nano-dollars."""

    _tokens: dict[str, float] = attrs.field(factory=dict)
    _nanousd: dict[str, float] = attrs.field(factory=dict)

    def learn(self, agent_id: str, usage: Usage, cost_nanousd: int | None) -> None:
        """Take note of what one exchange has used, where that is known."""
        if usage.tokens:
            _move(self._tokens, agent_id, usage.tokens)
        if cost_nanousd:
            _move(self._nanousd, agent_id, cost_nanousd)

    def begin(self, agent_id: str, calls: int, tokens: int, cost_nanousd: int) -> None:
        """Take what so many exchanges have used together for the mean of an agent of which nothing is known yet."""
        if calls > 0:
            for means, figure in ((self._tokens, tokens), (self._nanousd, cost_nanousd)):
                if figure and agent_id not in means:
                    means[agent_id] = figure / calls

    def adopt(self, before: "Means") -> None:
        """Share what was learnt before."""
        self._tokens, self._nanousd = before._tokens, before._nanousd  # noqa: SLF001 - of the same class

    def tokens(self, agent_id: str) -> int | None:
        """Return how many tokens an exchange with the agent uses; None: nobody knows yet."""
        mean = self._tokens.get(agent_id)
        return None if mean is None else round(mean)

    def nanousd(self, agent_id: str) -> int | None:
        """Return what an exchange with the agent costs; None: nobody knows yet."""
        mean = self._nanousd.get(agent_id)
        return None if mean is None else round(mean)


def _move(means: dict[str, float], agent_id: str, figure: int) -> None:
    mean = means.get(agent_id)
    if mean is None:
        means[agent_id] = float(figure)
    else:
        means[agent_id] = mean + (min(figure, mean * _STEP + _LEAST_STEP) - mean) / _SHARE


class Measures(Protocol):
    """A plugin that finds out what exchanges use and cost, as ``cost`` does."""

    def quote(self, agent_id: str, usage: Usage, wall: float) -> int | None:
        """Return what a usage would cost at an agent, in nano-dollars; None: it has no price."""
        ...

    def means(self) -> Means:
        """Return what exchanges have used lately; learnt from the first call on."""
        ...


def measures_of(gateway: Gateway) -> Measures | None:
    """Return the plugin of the config that measures."""
    for plugin in gateway.plugins.values():
        if hasattr(plugin, "quote") and hasattr(plugin, "means"):
            return plugin
    return None
