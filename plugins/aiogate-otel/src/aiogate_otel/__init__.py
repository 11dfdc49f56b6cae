"""Exports each exchange as spans and metrics of OpenTelemetry, with the GenAI conventions."""

from aiogate_otel.plugin import Otel, OtelConfig

__all__ = ["Otel", "OtelConfig"]
