"""What the agents of the bench answer: the bodies and events, the same in C and in Python.

Knows nothing of how they are sent. An event carries the monotonic clock in 19 digits, which every process of the
machine shares, between ``EVENT_BEFORE`` and ``EVENT_AFTER``.
"""

import json

__all__ = ["CHAT", "DONE", "EVENT_AFTER", "EVENT_BEFORE", "LONG", "MEGABYTE", "MODEL", "STAMP_DIGITS", "USAGE_EVENT"]

MODEL = "bench-model"
MEGABYTE = 1_000_000
STAMP_DIGITS = 19

_WORDS = "Your refund is on its way and will reach your account within three working days. "
_USAGE = {"prompt_tokens": 57, "completion_tokens": 93, "total_tokens": 150}
_LONG_BYTES = 20_000
_DELTA = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1735689600,
    "model": MODEL,
    "choices": [{"index": 0, "delta": {"content": " refund"}, "finish_reason": None}],
}


def _completion(content: str) -> bytes:
    return json.dumps(
        {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion",
            "created": 1735689600,
            "model": MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {**_USAGE, "prompt_tokens_details": {"cached_tokens": 12}},
        }
    ).encode()


def _event(data: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % json.dumps(data, separators=(",", ":")).encode()


CHAT = _completion(_WORDS * 4)
LONG = _completion((_WORDS * 300)[: _LONG_BYTES - len(_completion(""))])
EVENT_BEFORE, EVENT_AFTER = _event({**_DELTA, "t": "0" * STAMP_DIGITS}).split(b"0" * STAMP_DIGITS)
USAGE_EVENT = _event({**_DELTA, "choices": [], "usage": _USAGE})
DONE = b"data: [DONE]\n\n"
