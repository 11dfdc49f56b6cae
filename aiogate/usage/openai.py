"""Reads what OpenAI-style answers say of usage: chat, completions, embeddings and responses, whole or streamed.

Knows nothing of HTTP. Anthropic's dialect looks alike but leaves cached tokens out of the input and spreads its figures
over several events; it is recognised and left unread, because a wrong figure is worse than none.
"""

import logging
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import attrs
import orjson

from aiogate.exchange import Usage

__all__ = ["MAX_BODY_BYTES", "BodyReader", "StreamReader"]

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_MAX_TOKENS: Final = 10**12
_MAX_MODEL_CHARACTERS: Final = 256
_MARKER: Final = b'"usage"'
_logger: Final = logging.getLogger(__name__)


class Framing(Protocol):
    """Cuts a stream into the payloads that may speak of usage."""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the payloads that ``chunk`` completes."""
        ...

    def finish(self) -> Sequence[bytes]:
        """Return what the end of the stream completes."""
        ...


class StreamReader:
    """Reads the usage out of a stream of JSON objects; the last one that is not null wins."""

    __slots__ = ("_framing", "_statement")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._statement: _Statement | None = None

    def feed(self, chunk: bytes) -> None:
        """Look at a copy of a chunk."""
        for payload in self._framing.feed(chunk):
            self._statement = _statement(payload) or self._statement

    def result(self) -> Usage:
        """Return what the stream said until now, if this was all of it."""
        for payload in self._framing.finish():
            self._statement = _statement(payload) or self._statement
        return _usage(self._statement)


class BodyReader:
    """Reads the usage out of a whole JSON body of at most ``MAX_BODY_BYTES``; that of a larger one stays unknown."""

    __slots__ = ("_body", "_too_large")

    def __init__(self) -> None:
        self._body = bytearray()
        self._too_large = False

    def feed(self, chunk: bytes) -> None:
        """Keep a copy of a chunk."""
        if len(self._body) + len(chunk) > MAX_BODY_BYTES:
            self._too_large = True
            self._body.clear()
        if not self._too_large:
            self._body += chunk

    def result(self) -> Usage:
        """Return what the body says."""
        return _usage(_statement(self._body))


@attrs.frozen
class _Statement:
    """What one JSON object says of usage, not judged yet."""

    figures: Mapping[str, Any]
    model: object


class _AbsurdError(Exception):
    """A figure that no agent can mean."""


def _statement(payload: bytes | bytearray) -> _Statement | None:
    """Return what a JSON text says of usage; None when it is no JSON or says nothing."""
    if _MARKER not in payload:
        return None
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    match said:
        case {"type": "response.completed" | "response.incomplete" | "response.failed", "response": dict(response)}:
            said = response
        case {"type": "message" | "message_start" | "message_delta", "usage": {"input_tokens": _}}:  # Anthropic's
            return None
    match said:
        case {"usage": {"prompt_tokens": _} | {"input_tokens": _} as figures}:
            return _Statement(figures, said.get("model"))
    return None


def _usage(statement: _Statement | None) -> Usage:
    """Return the figures of a statement, or an unknown usage where they are missing or absurd."""
    if statement is None:
        return Usage()
    try:
        return _measured(statement)
    except _AbsurdError as absurd:
        _logger.warning("usage of model %s is unknown: %s", reprlib.repr(statement.model), absurd)
        return Usage()


def _measured(statement: _Statement) -> Usage:
    figures = statement.figures
    asked, answered = ("prompt", "completion") if "prompt_tokens" in figures else ("input", "output")
    input_tokens = _figure(figures, f"{asked}_tokens")
    output_tokens = _figure(figures, f"{answered}_tokens")
    cached_input_tokens = _part(figures, f"{asked}_tokens_details", "cached_tokens", input_tokens)
    reasoning_tokens = _part(figures, f"{answered}_tokens_details", "reasoning_tokens", output_tokens)
    if input_tokens is None and output_tokens is None:
        return Usage()
    return Usage(
        source="measured",
        model=_model(statement.model),
        input_tokens=input_tokens,
        cached_input_tokens=cached_input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
    )


def _figure(figures: Mapping[str, Any], name: str) -> int | None:
    figure = figures.get(name)
    if figure is None:
        return None
    if type(figure) is not int or not 0 <= figure <= _MAX_TOKENS:  # a bool is an int to isinstance
        msg = f"{name} is {reprlib.repr(figure)}"
        raise _AbsurdError(msg)
    return figure


def _part(figures: Mapping[str, Any], details: str, name: str, whole: int | None) -> int | None:
    """Return a figure that is counted in ``whole`` as well."""
    group = figures.get(details)
    part = _figure(group, name) if isinstance(group, dict) else None
    if part is not None and part > (whole or 0):
        msg = f"{name} is {part}, more than all {whole}"
        raise _AbsurdError(msg)
    return part


def _model(model: object) -> str | None:
    return model if isinstance(model, str) and 0 < len(model) <= _MAX_MODEL_CHARACTERS else None
