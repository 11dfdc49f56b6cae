"""The metrics of exchanges that have ended, with bounded attributes: agents and models, never callers or paths."""

from typing import Final

from opentelemetry.sdk.metrics import MeterProvider

from aiogate import Exchange
from aiogate_otel.operations import Attributes, error_type, http_attributes, operation_of

__all__ = ["Meters"]

_MOST_MODELS: Final = 100
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_LONG_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))


class Meters:
    """Counts them, by the names and buckets of the semantic conventions."""

    def __init__(self, provider: MeterProvider, version: str) -> None:
        """Make the instruments."""
        meter = provider.get_meter("aiogate", version)
        self._requests = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._operations = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_LONG_SECONDS,
        )
        self._first_chunks = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_LONG_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._cost = meter.create_counter("aiogate.cost", "USD", "What the agents' answers cost.")
        self._models: set[str] = set()

    def record(self, exchange: Exchange, provider_name: str) -> None:
        """Count an exchange that has ended."""
        ended = exchange.ended if exchange.ended is not None else exchange.started
        self._requests.record(ended - exchange.started, dict(http_attributes(exchange)))
        if exchange.agent is None or exchange.forwarded is None:
            return
        said: Attributes = {
            "gen_ai.operation.name": operation_of(exchange.path),
            "gen_ai.provider.name": provider_name,
            "gen_ai.agent.id": exchange.agent.id,
        }
        if exchange.usage.model is not None:
            said["gen_ai.response.model"] = self._bounded(exchange.usage.model)
        for kind, tokens in (("input", exchange.usage.input_tokens), ("output", exchange.usage.output_tokens)):
            if tokens is not None:
                self._tokens.record(tokens, said | {"gen_ai.token.type": kind})
        if exchange.cost_nanousd:
            self._cost.add(exchange.cost_nanousd / 1e9, said)
        if exchange.first_byte is not None and exchange.content_type.startswith("text/event-stream"):
            self._first_chunks.record(exchange.first_byte - exchange.forwarded, said)
        if (error := error_type(exchange)) is not None:
            said["error.type"] = error
        self._operations.record(ended - exchange.forwarded, said)

    def _bounded(self, model: str) -> str:
        """Return the model's name while there are few: agents say what they like."""
        if model not in self._models:
            if len(self._models) >= _MOST_MODELS:
                return "other"
            self._models.add(model)
        return model
