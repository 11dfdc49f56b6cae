"""What is to happen to one of very many exchanges, made out of its number alone, so that both ends know it.

Its number is in the path, in a header and in every byte that is checked of both bodies. Knows nothing of sockets.
"""

import enum
from random import Random

import attrs

__all__ = ["Fate", "Plan", "number_of", "plan_for"]

_SIZES = (0, 9, 9, 9, 300, 5_000, 66_000, 150_000)
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
        held_bytes: so much at the end of the answer the agent holds back until it is hung up on.
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
    held_bytes: int
    abruptly: bool


def number_of(target: bytes) -> int:
    """Return which exchange a path belongs to."""
    return int(target.rpartition(b"/")[2])


def plan_for(number: int, prefix: bytes) -> Plan:
    """Return the plan of an exchange: five of a hundred are hung up on, five are reset."""
    random = Random(number)
    fate = random.choices([*Fate], [90, 5, 5])[0]
    framing, body, asked_body = _body(number, random) if random.random() < 0.5 else (b"", b"", b"")
    method = b"POST" if framing else b"GET"
    head = b"%b %b/n/%d HTTP/1.1\r\nHost: x\r\nX-Number: %d\r\n%b\r\n" % (method, prefix, number, number, framing)
    framing, answer, answered_body = _body(number, random)
    answer_head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n%b\r\n" % (number, framing)
    point, held_bytes = _break(random, fate, (len(head), len(body), len(answer_head), len(answer)))
    return Plan(
        number=number,
        fate=fate,
        asked=head + body,
        asked_body=asked_body,
        head_bytes=len(head),
        answered=answer_head + answer,
        answered_body=answered_body,
        point=point,
        held_bytes=held_bytes,
        abruptly=random.random() < 0.5,
    )


def _body(number: int, random: Random) -> tuple[bytes, bytes, bytes]:
    """Return the header that frames a body, the body as it goes over the wire, and what it says."""
    own = b"<%d>" % number
    content = own * (random.choice(_SIZES) // len(own))
    if random.random() < 0.5:
        return b"Content-Length: %d\r\n" % len(content), content, content
    step = max(1, len(content) // _STREAMED_PIECES)
    pieces = [content[start : start + step] for start in range(0, len(content), step)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n", content


def _break(random: Random, fate: Fate, lengths: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return where it breaks, and what the agent holds back so that the client leaves amid the answer for certain."""
    head, body, answer_head, answer = lengths
    request = head + body
    if fate is Fate.WHOLE:
        return 0, 0
    if fate is Fate.RESETS:
        return random.choice([-1, 0, random.randrange(answer_head + answer), answer_head + answer - 1]), 0
    if answer and random.random() < 0.4:
        return request + random.randint(1, answer_head), random.randint(1, answer)
    if random.random() < 0.2:
        return request, answer_head + answer
    within = [0, random.randrange(head), head, head + random.randrange(body + 1), request]
    return random.choice([*within, request + 1 + random.randrange(answer_head + answer)]), 0
