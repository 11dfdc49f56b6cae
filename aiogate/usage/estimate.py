"""Estimates tokens from bytes, where an answer says none; always marked ``estimated``.

The rule, the same for everybody: four bytes are a token, rounded up. Of a request all bytes of the body count. Of a
JSON answer those of the texts in it count, as they were sent: the strings under ``content``, ``text``, ``delta`` and
their like. Of a stream the share of texts in its first ``SAMPLE_BYTES`` stands for all of it, so that a chunk costs
nothing. Of anything else all bytes count. A dollar is never estimated, only tokens are.
Knows nothing of who may be estimated; the cost plugin does.
"""

import re
from typing import Final

from aiogate.exchange import Usage

__all__ = ["SAMPLE_BYTES", "estimated", "model_in", "text_bytes", "tokens"]

SAMPLE_BYTES: Final = 8192
_BYTES_A_TOKEN: Final = 4
_HEAD_BYTES: Final = 65_536
_TEXTS: Final = re.compile(
    rb'"(?:content|text|delta|response|thinking|reasoning|reasoning_content|refusal|arguments|partial_json)"'
    rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)'
).findall
_MODEL: Final = re.compile(rb'"(?:model|modelVersion)"\s*:\s*"([^"\\]{1,256})"').search


def tokens(size: int) -> int:
    """Return how many tokens so many bytes of text are taken for."""
    return -(-size // _BYTES_A_TOKEN)


def text_bytes(answer: bytes | bytearray) -> int:
    """Return how many bytes of text there are in JSON, whole or in pieces; all, where there are no texts."""
    texts = _TEXTS(answer)
    return sum(map(len, texts)) if texts else len(answer)


def model_in(answer: bytes | bytearray) -> str | None:
    """Return the model that JSON, whole or in pieces, names first, near its beginning."""
    match = _MODEL(answer, 0, _HEAD_BYTES)
    return match[1].decode("utf-8", "replace") if match else None


def estimated(model: str | None, request_bytes: int, answer_bytes: int) -> Usage:
    """Return the estimate for a request's body and the text of its answer."""
    return Usage(
        source="estimated",
        model=model,
        input_tokens=tokens(request_bytes),
        output_tokens=tokens(answer_bytes),
    )
