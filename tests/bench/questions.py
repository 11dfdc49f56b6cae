"""The requests of the load generator, byte for byte, as an SDK would send them.

The same bytes go to every target. Knows nothing of when they are sent.
"""

import json
from collections.abc import Mapping

import attrs

from tests.bench.answers import MEGABYTE, MODEL
from tests.bench.gateways import KEY

__all__ = [
    "CHAT",
    "CHURN",
    "EVENTS_PER_FLOOD",
    "FLOOD",
    "IDLE",
    "LONG",
    "MEGABYTES",
    "Question",
    "download",
    "paced",
    "upload",
]

EVENTS_PER_FLOOD = 1_000

_MESSAGE = "Where is my refund for order 1042? "
_LONG_BYTES = 20_000


@attrs.frozen(kw_only=True)
class Question:
    """One request: its bytes, and how many bytes of filler follow them as (the rest of) the body."""

    request: bytes
    filler_bytes: int = 0


def _body(message: str, *, stream: bool = False) -> bytes:
    question: dict[str, object] = {
        "model": MODEL,
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "You answer customers who ask for a refund, briefly and kindly."},
            {"role": "user", "content": message},
        ],
    }
    return json.dumps({**question, "stream": True} if stream else question).encode()


def _question(
    path: str, body: bytes = b"", *, filler_bytes: int = 0, more_headers: Mapping[str, str] | None = None
) -> Question:
    more = "".join(f"{name}: {value}\r\n" for name, value in (more_headers or {}).items())
    head = (
        f"POST /agents/bench{path} HTTP/1.1\r\nHost: gateway.example\r\nAccept: application/json\r\n"
        f"Accept-Encoding: gzip, deflate\r\nUser-Agent: AsyncOpenAI/Python 2.1.0\r\nAuthorization: Bearer {KEY}\r\n"
        f"{more}Content-Type: application/json\r\nContent-Length: {len(body) + filler_bytes}\r\n\r\n"
    )
    return Question(request=head.encode() + body, filler_bytes=filler_bytes)


def paced(events_per_second: int) -> Question:
    """Return a stream of so many events a second, without end."""
    return _question(f"/paced/{events_per_second}", _body(_MESSAGE, stream=True))


def download(size: int) -> Question:
    """Return a small call with an answer of so many bytes."""
    return _question(f"/bytes/{size}", _body(_MESSAGE))


def upload(size: int) -> Question:
    """Return a call of so many bytes with a small answer."""
    return _question("/chat", filler_bytes=size)


CHAT = _question("/chat", _body(_MESSAGE))
CHURN = _question("/chat", _body(_MESSAGE), more_headers={"Connection": "close"})
LONG = _question("/long", _body((_MESSAGE * 700)[: _LONG_BYTES - len(_body(""))]))
MEGABYTES = _question("/megabyte", filler_bytes=MEGABYTE)
FLOOD = _question(f"/flood/{EVENTS_PER_FLOOD}", _body(_MESSAGE, stream=True))
IDLE = _question("/idle", _body(_MESSAGE, stream=True))
