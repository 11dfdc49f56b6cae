"""The spans of one exchange: the gateway's own, and one for each time that an agent was asked.

They are made when the exchange has ended, with the times that it has noted: nothing is done while it is under way.
"""

from collections.abc import Iterator
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aiogate import Agent, Exchange
from aiogate_otel.operations import (
    Attributes,
    error_type,
    http_attributes,
    nanoseconds,
    operation_of,
    route_of,
    usage_attributes,
)

__all__ = ["Ids", "Spans"]

_NANO: Final = 1e9
_SPAN: Final = 16
"""Where the half of a request's id begins that the agent was told as its parent span."""


class Ids(RandomIdGenerator):
    """Gives the spans the ids that the agent has been told; others are random."""

    def __init__(self) -> None:
        """Begin with nothing promised."""
        self.trace: int | None = None
        self.span: int | None = None

    def generate_trace_id(self) -> int:
        """Return the trace that was promised."""
        promised, self.trace = self.trace, None
        return super().generate_trace_id() if promised is None else promised

    def generate_span_id(self) -> int:
        """Return the span that was promised, once."""
        promised, self.span = self.span, None
        return super().generate_span_id() if promised is None else promised


class Spans:
    """Makes them.

    Args:
        provider: with ``ids`` as its generator.
        names_callers: whether a span says who called.
    """

    def __init__(self, provider: TracerProvider, ids: Ids, version: str, *, names_callers: bool) -> None:
        """Take the tracer of aiogate."""
        self._tracer = provider.get_tracer("aiogate", version)
        self._ids = ids
        self._names_callers = names_callers
        self._propagator = TraceContextTextMapPropagator()

    def record(self, exchange: Exchange, provider_name: str) -> None:
        """Make the spans of an exchange that has ended."""
        headers = exchange.request_headers
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        parent = self._propagator.extract(carrier, Context())
        ended = nanoseconds(exchange, exchange.ended or exchange.started)
        self._ids.trace, self._ids.span = int(exchange.id, 16), None
        server = self._tracer.start_span(
            f"{exchange.method} {route_of(exchange) or '/agents'}",
            parent,
            SpanKind.SERVER,
            self._of_the_gateway(exchange),
            start_time=nanoseconds(exchange, exchange.started),
        )
        self._ids.trace = None
        if server.is_recording():
            _fail(server, exchange)
            for span, end in self._of_agents(exchange, provider_name, set_span_in_context(server, Context())):
                span.end(end)
        server.end(ended)

    def _of_the_gateway(self, exchange: Exchange) -> Attributes:
        said = http_attributes(exchange)
        said["url.path"] = exchange.full_path
        said["client.address"] = exchange.client_address
        said["aiogate.request_id"] = exchange.id
        said["aiogate.outcome"] = str(exchange.outcome)
        if exchange.refusal is not None:
            said["aiogate.refusal.code"] = exchange.refusal.code
            if exchange.refusal.rule is not None:
                said["aiogate.refusal.rule"] = exchange.refusal.rule
        if exchange.principal is not None and self._names_callers:
            said["user.id"] = exchange.principal.id
            if exchange.principal.department is not None:
                said["aiogate.department"] = exchange.principal.department
        if exchange.cost_nanousd is not None:
            said["aiogate.cost_usd"] = exchange.cost_nanousd / _NANO
        return said

    def _of_agents(self, exchange: Exchange, provider_name: str, parent: Context) -> Iterator[tuple[Span, int]]:
        """Yield a span for each attempt and when it ends; the last one has what the answer says."""
        attempts = exchange.attempts
        for attempt in attempts[:-1]:
            span = self._asked(exchange, attempt.agent, provider_name, parent, attempt.began)
            span.set_attribute("server.address", attempt.endpoint)
            if attempt.status is not None:
                span.set_attribute("http.response.status_code", attempt.status)
            span.set_attribute("error.type", attempt.code or str(attempt.status))
            span.set_status(StatusCode.ERROR)
            yield span, nanoseconds(exchange, attempt.began + attempt.seconds)
        began = attempts[-1].began if attempts else exchange.forwarded
        if exchange.agent is None or began is None:
            return
        self._ids.span = int(exchange.id[_SPAN:], 16)
        span = self._asked(exchange, exchange.agent, provider_name, parent, began)
        self._ids.span = None
        if exchange.usage.model is not None:
            span.set_attribute("gen_ai.response.model", exchange.usage.model)
            span.update_name(f"{operation_of(exchange.path)} {exchange.usage.model}")
        span.set_attributes(usage_attributes(exchange.usage))
        if exchange.first_byte is not None:
            span.add_event("first byte", timestamp=nanoseconds(exchange, exchange.first_byte))
            span.set_attribute("http.response.status_code", exchange.status)
        _fail(span, exchange)
        yield span, nanoseconds(exchange, exchange.ended or began)

    def _asked(self, exchange: Exchange, agent: Agent, provider_name: str, parent: Context, began: float) -> Span:
        operation = operation_of(exchange.path)
        said: Attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider_name,
            "gen_ai.agent.id": agent.id,
            "gen_ai.agent.name": agent.id,
        }
        if agent.description:
            said["gen_ai.agent.description"] = agent.description
        start = nanoseconds(exchange, began)
        return self._tracer.start_span(f"{operation} {agent.id}", parent, SpanKind.CLIENT, said, start_time=start)


def _fail(span: Span, exchange: Exchange) -> None:
    error = error_type(exchange)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR, exchange.refusal.detail if exchange.refusal is not None else None)
