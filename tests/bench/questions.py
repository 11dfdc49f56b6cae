"""The requests of the load generator, byte for byte, as an SDK would send them.

The same bytes go to every target. Knows nothing of when they are sent.
"""

import json
from collections.abc import Mapping

from tests.bench.agent import MEGABYTE, MODEL
from tests.bench.gateways import KEY

__all__ = ["CHAT", "EVENTS_PER_SECOND", "FLOOD", "IDLE", "PACED", "UPLOAD"]

EVENTS_PER_SECOND = 20

_QUESTION = {
    "model": MODEL,
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "You answer customers who ask for a refund, briefly and kindly."},
        {"role": "user", "content": "Where is my refund for order 1042?"},
    ],
}
_STREAMED = {**_QUESTION, "stream": True}


def _request(path: str, question: Mapping[str, object] | bytes) -> bytes:
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    return (
        f"POST /agents/bench{path} HTTP/1.1\r\nHost: gateway.example\r\nAccept: application/json\r\n"
        f"Accept-Encoding: gzip, deflate\r\nUser-Agent: AsyncOpenAI/Python 2.1.0\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


CHAT = _request("/chat", _QUESTION)
FLOOD = _request("/flood/1000", _STREAMED)
UPLOAD = _request("/megabyte", b"x" * MEGABYTE)
PACED = _request(f"/paced/{EVENTS_PER_SECOND}", _STREAMED)
IDLE = _request("/idle", _STREAMED)
