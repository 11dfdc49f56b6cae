"""Reads the usage out of a stream of JSON objects while it passes.

Knows neither dialects nor heads of responses.
"""

from typing import Final

import attrs
import orjson

from aiogate.exchange import Usage
from aiogate.usage.dialects import Found, of_message_start
from aiogate.usage.estimate import SAMPLE_BYTES, estimated, model_in, text_bytes, tokens
from aiogate.usage.figures import AbsurdError
from aiogate.usage.framing import Framing
from aiogate.usage.recognise import merged
from aiogate.usage.way import ANY_DIALECT, UNKNOWN, Way, tell

__all__ = ["BATCH_BYTES", "StreamReader"]

BATCH_BYTES: Final = 4096
_LOOK_BYTES: Final = 1024
_MODEL: Final = b'"model'


class StreamReader:
    """Reads the usage out of a stream of JSON objects; the last one that is not null counts.

    Chunks are put together to batches before anything looks at them, so that one costs next to nothing.
    """

    __slots__ = ("_batch", "_found", "_framing", "_looked_at", "_model", "_sample", "_size", "_way", "absurd")

    def __init__(self, framing: Framing, way: Way = ANY_DIALECT) -> None:
        self._framing = framing
        self._way = way
        self._batch = bytearray()
        self._sample = b""
        self._model: str | None = None
        self._size = 0
        self._found: Found | None = None
        self._looked_at: tuple[float, str | None] | None = None
        self.absurd = False

    def feed(self, chunk: bytes) -> None:
        """Keep a copy of a chunk, and look when enough has come together."""
        batch = self._batch
        batch += chunk
        if len(batch) >= BATCH_BYTES:
            self._look()

    def _look(self) -> None:
        batch = bytes(self._batch)
        self._batch.clear()
        self._size += len(batch)
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += batch[: SAMPLE_BYTES - len(self._sample)]
        if self._model is None and (at := batch.find(_MODEL)) >= 0:
            self._model = model_in(batch[at:])
        for payload in self._framing.feed(batch):
            self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        try:
            self._found = merged(self._found, self._way.find(orjson.loads(payload)))
        except orjson.JSONDecodeError:
            return

    def result(self) -> Usage:
        """Return what the stream said until now, if this was all of it."""
        self._look()
        for payload in self._framing.finish():
            self._hear(payload)
        found = self._found
        if found is None:
            return UNKNOWN
        try:
            usage = found[0](found[1], found[2])
        except AbsurdError as absurd:
            self.absurd = True
            tell(found, absurd)
            return UNKNOWN
        return self._completed(usage) if found[0] is of_message_start else usage

    def _completed(self, usage: Usage) -> Usage:
        """Return the usage of a message that was cut before it could tell its output: at least what came is counted."""
        output_tokens = max(usage.output_tokens or 0, tokens(self._text_bytes()))
        return attrs.evolve(usage, source="estimated", output_tokens=output_tokens)

    def so_far(self) -> Usage:
        """Return an estimate of what has come until now, from the beginning of it; cheap, and changes nothing."""
        size, looked_at = self._size + len(self._batch), self._looked_at
        if looked_at is None:
            sample = self._sample[:_LOOK_BYTES] or bytes(self._batch[:_LOOK_BYTES])
            looked_at = (text_bytes(sample) / len(sample) if sample else 0.0), model_in(sample)
            if len(sample) == _LOOK_BYTES:
                self._looked_at = looked_at
        share, model = looked_at
        return Usage(source="estimated", model=self._model or model, output_tokens=tokens(int(size * share)))

    def model(self) -> str | None:
        """Return the model that the stream names first."""
        self._look()
        return model_in(self._sample) or self._model

    def estimate(self, request_bytes: int) -> Usage:
        """Return the estimate for what has come until now."""
        return estimated(self.model(), request_bytes, self._text_bytes())

    def _text_bytes(self) -> int:
        sample = self._sample
        return text_bytes(sample) * self._size // len(sample) if sample else 0
