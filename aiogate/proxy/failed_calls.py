"""Finds out whether a call has failed although its answer's status is 200: JSON-RPC's errors, and tools that say so.

For agents with a ``protocol``. It gets a copy of what the client got, after the client; bounded, and looked at only
where a text is in it that every failure has. JSON-RPC 2.0 section 5.1, MCP's ``isError``.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

import orjson

from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.usage.decoding import CODINGS, decoder
from aiogate.usage.framing import Events, speaker

__all__ = ["FAILURES", "TOOL", "failure_in", "with_failures"]

TOOL: Final = "isError"
"""A tool has answered that it has failed."""
_CODES: Final = (-32700, *range(-32603, -32599), *range(-32022, -32019), *range(-32009, -31999))
FAILURES: Final = frozenset({TOOL, *map(str, _CODES)})
"""The reasons that have a name in JSON-RPC, in A2A or in MCP; the only ones that are labels of metrics."""
_MARKERS: Final = (b'"error"', b'"isError"')
_SPEAKS: Final = speaker(_MARKERS)
_BODY_BYTES: Final = 1024 * 1024
_BATCH_BYTES: Final = 4096
_INT64: Final = 2**63


class _Texts(Protocol):
    """Cuts an answer into the JSON texts that may tell of a failure."""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return those that ``chunk`` completes."""
        ...

    def finish(self) -> Sequence[bytes]:
        """Return those that the end does."""
        ...


class _Whole:
    """An answer that is one JSON text; one that is too long is none."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        self._size += len(chunk)
        if self._size <= _BODY_BYTES:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()
        return ()

    def finish(self) -> Sequence[bytes]:
        body = b"".join(self._chunks)
        return (body,) if _SPEAKS(body) else ()


def with_failures(exchange: Exchange, others: Observer | None) -> Observer | None:
    """Return what observes a response besides ``others``: at its end ``exchange.call_failure`` says what has failed."""
    media_type = exchange.content_type.partition(";")[0].strip().lower()
    if exchange.status != HTTPStatus.OK or exchange.method not in {"POST", "GET"}:
        return others
    texts: _Texts
    if media_type == "text/event-stream":
        texts = Events(_SPEAKS)
    elif media_type == "application/json" or media_type.endswith("+json"):
        texts = _Whole()
    else:
        return others
    coding = exchange.content_encoding.strip().lower()
    if coding not in CODINGS | {"", "identity"}:
        return others
    return _Looks(exchange, others, texts, coding).look


class _Looks:
    """Looks at one response, some kilobytes at a time."""

    def __init__(self, exchange: Exchange, others: Observer | None, texts: _Texts, coding: str) -> None:
        self._exchange = exchange
        self._others = others
        self._texts = texts
        self._decoder = decoder(coding) if coding in CODINGS else None
        self._is_coded = coding in CODINGS
        self._batch = bytearray()

    def look(self, chunk: bytes) -> None:
        """Take the next chunk, or ``b""`` at the end."""
        if self._others is not None:
            self._others(chunk)
        self._batch += chunk
        if not chunk or len(self._batch) >= _BATCH_BYTES:
            batch = self._plain(bytes(self._batch))
            self._batch.clear()
            found = list(self._texts.feed(batch)) if batch else []
            for text in found if chunk else [*found, *self._texts.finish()]:
                self._exchange.call_failure = failure_in(text) or self._exchange.call_failure

    def _plain(self, batch: bytes) -> bytes:
        if not self._is_coded:
            return batch
        decoded = None if self._decoder is None else self._decoder.decode(batch)
        if decoded is None:
            self._decoder = None
        return decoded or b""


def failure_in(text: bytes) -> str | None:
    """Return what has failed by a JSON text: the code of a JSON-RPC error, or ``isError``; None: nothing."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    answers = said if type(said) is list else (said,)
    return next((failed for answer in answers if (failed := _failure(answer)) is not None), None)


def _failure(answer: Any) -> str | None:  # noqa: ANN401 - parsed JSON
    if type(answer) is not dict:
        return None
    error, result = answer.get("error"), answer.get("result")
    if type(error) is dict:
        code = error.get("code")
        return str(code) if type(code) is int and abs(code) < _INT64 else "error"
    return TOOL if type(result) is dict and result.get("isError") is True else None
