"""What is to happen to one of very many exchanges, made out of its number alone, so that both ends know it.

Its number is in the path, in a header and in every byte that is checked of both bodies. Knows nothing of sockets.
"""

import enum
from random import Random

import attrs

__all__ = ["Fate", "Plan", "number_of", "plan_for"]

_SIZES = (0, 9, 9, 9, 300, 5_000, 66_000, 150_000)
_MORE_THAN_IS_HELD = 1_000_000
"""Where the client leaves amid so much, the gateway has to end the agent's answer; it cannot read it to its end."""
_STREAMED_PIECES = 7


class Fate(enum.StrEnum):
    """How an exchange ends."""

    WHOLE = "whole"
    HANGS_UP = "the client hangs up"
    RESETS = "the agent resets"


@attrs.frozen(kw_only=True)
class Plan:
    """One exchange.

    Args:
        number: which one; no two have the same.
        asked: the request's bytes, ``asked_body`` what its body says; ``answered`` and ``answered_body`` likewise.
        head_bytes: how long the request's head is.
        point: where it breaks: the client after so many bytes of the request and, beyond them, of the answer; the agent
            after so many bytes of the answer, before it reads the body where it is negative.
        abruptly: the client resets its connection, rather than close it.
    """

    number: int
    fate: Fate
    asked: bytes = attrs.field(repr=False)
    asked_body: bytes = attrs.field(repr=False)
    head_bytes: int
    answered: bytes = attrs.field(repr=False)
    answered_body: bytes = attrs.field(repr=False)
    point: int
    abruptly: bool


def number_of(target: bytes) -> int:
    """Return which exchange a path belongs to."""
    return int(target.rpartition(b"/")[2])


def plan_for(number: int, prefix: bytes) -> Plan:
    """Return the plan of an exchange: five of a hundred are hung up on, five are reset."""
    random = Random(number)
    fate = random.choices([*Fate], [90, 5, 5])[0]
    framing, body, asked_body = _body(number, random, _SIZES) if random.random() < 0.5 else (b"", b"", b"")
    method = b"POST" if framing else b"GET"
    head = b"%b %b/n/%d HTTP/1.1\r\nHost: x\r\nX-Number: %d\r\n%b\r\n" % (method, prefix, number, number, framing)
    sizes = (*_SIZES, _MORE_THAN_IS_HELD) if fate is Fate.HANGS_UP else _SIZES
    framing, answer, answered_body = _body(number, random, sizes)
    answered = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n%b\r\n" % (number, framing) + answer
    return Plan(
        number=number,
        fate=fate,
        asked=head + body,
        asked_body=asked_body,
        head_bytes=len(head),
        answered=answered,
        answered_body=answered_body,
        point=_point(random, fate, len(head), len(body), len(answered)),
        abruptly=random.random() < 0.5,
    )


def _body(number: int, random: Random, sizes: tuple[int, ...]) -> tuple[bytes, bytes, bytes]:
    """Return the header that frames a body, the body as it goes over the wire, and what it says."""
    own = b"<%d>" % number
    content = own * (random.choice(sizes) // len(own))
    if random.random() < 0.5:
        return b"Content-Length: %d\r\n" % len(content), content, content
    step = max(1, len(content) // _STREAMED_PIECES)
    pieces = [content[start : start + step] for start in range(0, len(content), step)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n", content


def _point(random: Random, fate: Fate, head: int, body: int, answer: int) -> int:
    if fate is Fate.RESETS:
        return random.choice([-1, 0, random.randrange(answer), answer - 1])
    within = [0, random.randrange(head), head, head + random.randrange(body + 1), head + body]
    amid = [head + body + 1 + random.randrange(min(answer, place)) for place in (100, 1000, answer)]
    return random.choice([*within, *amid, head + body + answer])
