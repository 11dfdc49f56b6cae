"""Where spans and metrics go: what the usual ``OTEL_`` variables say. Knows nothing of exchanges."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from aiogate import AiogateError

__all__ = ["is_disabled", "meters", "tracers"]

_PROTOCOLS: Final = {"http/protobuf": "http", "grpc": "grpc"}


def is_disabled() -> bool:
    """Tell whether ``OTEL_SDK_DISABLED`` says that nothing is to be exported."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def tracers(ids: IdGenerator, attributes: Mapping[str, str]) -> TracerProvider | None:
    """Return what spans are made by; None: nobody wants them (``OTEL_TRACES_EXPORTER=none``)."""
    exporter = _exporter("TRACES", "trace_exporter", "OTLPSpanExporter", ConsoleSpanExporter)
    if exporter is None:
        return None
    provider = TracerProvider(resource=_resource(attributes), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def meters(attributes: Mapping[str, str]) -> MeterProvider | None:
    """Return what metrics are made by; None: nobody wants them (``OTEL_METRICS_EXPORTER=none``)."""
    exporter = _exporter("METRICS", "metric_exporter", "OTLPMetricExporter", ConsoleMetricExporter)
    if exporter is None:
        return None
    reader = PeriodicExportingMetricReader(exporter)
    return MeterProvider(metric_readers=[reader], resource=_resource(attributes), shutdown_on_exit=False)


def _resource(attributes: Mapping[str, str]) -> Resource:
    """Return who we are; what ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say comes first."""
    said = Resource.create()
    name = said.attributes.get(SERVICE_NAME, "")
    if not isinstance(name, str) or name.startswith("unknown_service"):
        said = said.merge(Resource({SERVICE_NAME: "aiogate"}))
    return Resource(dict(attributes)).merge(said)


def _exporter(signal: str, module: str, name: str, console: type) -> Any:  # noqa: ANN401 - of either signal
    variable = f"OTEL_{signal}_EXPORTER"
    wanted = os.environ.get(variable, "").strip() or "otlp"
    if wanted == "none":
        return None
    if wanted == "console":
        return console()
    if wanted != "otlp":
        msg = f"{variable} is {wanted!r}; here it may be otlp, console or none"
        raise AiogateError(msg)
    protocol = _protocol(signal)
    try:
        found = import_module(f"opentelemetry.exporter.otlp.proto.{_PROTOCOLS[protocol]}.{module}")
    except ImportError as error:
        msg = f"the protocol {protocol} needs a package: pip install opentelemetry-exporter-otlp-proto-grpc"
        raise AiogateError(msg) from error
    return getattr(found, name)()


def _protocol(signal: str) -> str:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(variable, "").strip()
        if protocol and protocol not in _PROTOCOLS:
            msg = f"{variable} is {protocol!r}; here it may be {' or '.join(_PROTOCOLS)}"
            raise AiogateError(msg)
        if protocol:
            return protocol
    return "http/protobuf"
